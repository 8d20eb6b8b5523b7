package main

// doctorCommand is a stand-in until its package is there.
type doctorCommand struct{}
