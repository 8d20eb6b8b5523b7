package main

import (
	"bufio"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// receiveQueue gives the most bytes that wait in one socket of a local port.
func receiveQueue(protocol string, port int) (int64, error) {
	table := "/proc/net/tcp"
	if protocol == "srt" {
		table = "/proc/net/udp"
	}
	file, err := os.Open(table)
	if err != nil {
		return 0, err
	}
	defer func() { _ = file.Close() }()
	local, most := fmt.Sprintf(":%04X", port), int64(0)
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		// sl local_address rem_address st tx_queue:rx_queue ...; of a listener (0A) it is the accept queue.
		fields := strings.Fields(lines.Text())
		if len(fields) < 5 || !strings.HasSuffix(fields[1], local) || fields[3] == "0A" {
			continue
		}
		_, queue, _ := strings.Cut(fields[4], ":")
		n, err := strconv.ParseInt(queue, 16, 64)
		if err != nil {
			return 0, err
		}
		most = max(most, n)
	}
	return most, lines.Err()
}
