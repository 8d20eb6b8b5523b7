// Package operator is the operators' command line: what `oxbow publisher list` and its like do, all of it by the REST
// API, so that nothing can be done here that a program could not do.
//
// A command is a struct whose tags are its flags and arguments, and whose Run gets a *Call: the client, and where and
// how to print. cmd/oxbow puts the structs into its command line; this package reads no environment.
//
//	Connection   the flags of every command: which API, which token, how to print
//	Call         one run of a command; it sends requests and prints answers
//	Client       HTTP: bounded answers, deadlines, problem documents as errors
//	table, show  answers for people; --json prints the API's own JSON instead
//
// # Invariants
//
//  1. Data goes to stdout, and all else to stderr. With --json stdout has JSON only: an object as the API gave it, a
//     list as one array of the API's items, a stream as one object a line. With --quiet it has one id a line; of what
//     is made with a secret, the secret.
//  2. A list prints at most --limit items, and says on stderr that there are more; --all prints all. It holds one page
//     in memory.
//  3. What comes from the API is bounded before it is read, and nothing of it reaches a terminal as a control
//     character.
//  4. The token goes to the host of --api only: redirects are not followed.
//  5. An error names the field at fault, and says what to do. Usage errors are UsageError, found before anything is
//     sent.
//  6. A request is sent again only where that changes nothing: after 429, and a GET also after 503.
package operator
