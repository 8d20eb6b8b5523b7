package objstore

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// told gives what an operator needs of an S3 server's answer: the request, the code and the words of the server, and
// its id of the request, which its keepers ask for. The SDK's own text has the same among much else. What is no such
// answer is told as it is.
func told(err error) string {
	op, isOp := errors.AsType[*smithy.OperationError](err)
	answer, isAnswer := errors.AsType[*awshttp.ResponseError](err)
	code, isCode := errors.AsType[smithy.APIError](err)
	if !isOp {
		return err.Error()
	}
	before, _, _ := strings.Cut(err.Error(), "operation error ")
	if none, is := errors.AsType[*credentialsError](err); is {
		return before + "S3 " + op.OperationName + ": " + none.why
	}
	if unsent, is := errors.AsType[*smithyhttp.RequestSendError](err); is && !isCode {
		return before + "S3 " + op.OperationName + ": " + unsent.Err.Error()
	}
	if !isAnswer || answer.Response == nil || answer.HTTPStatusCode() == 0 {
		return err.Error()
	}
	status := answer.HTTPStatusCode()
	text := before + fmt.Sprintf("S3 %s: %d %s", op.OperationName, status, http.StatusText(status))
	if isCode && code.ErrorCode() != http.StatusText(status) {
		text += ": " + code.ErrorCode()
	}
	if isCode && code.ErrorMessage() != "" && code.ErrorMessage() != code.ErrorCode() {
		text += ": " + code.ErrorMessage()
	}
	if id := answer.ServiceRequestID(); id != "" {
		text += " (request " + id + ")"
	}
	return text
}
