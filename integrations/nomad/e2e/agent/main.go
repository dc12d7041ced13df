// A Nomad agent for tests: the command of the module github.com/hashicorp/nomad, unchanged.
package main

import (
	"fmt"
	"os"

	// A client starts its own program again for these tasks; each import answers when it is its turn, before main begins.
	_ "github.com/hashicorp/nomad/client/allocrunner/taskrunner/getter"
	_ "github.com/hashicorp/nomad/client/logmon"
	_ "github.com/hashicorp/nomad/drivers/docker/docklog"
	_ "github.com/hashicorp/nomad/drivers/shared/executor"

	"github.com/hashicorp/nomad/command"
	"github.com/mitchellh/cli"
)

func main() {
	ui := &cli.BasicUi{Reader: os.Stdin, Writer: os.Stdout, ErrorWriter: os.Stderr}
	nomad := &cli.CLI{
		Name:     "nomad",
		Version:  "1.6.3",
		Args:     os.Args[1:],
		Commands: command.Commands(&command.Meta{Ui: ui}, ui),
		HelpFunc: cli.BasicHelpFunc("nomad"),
	}
	status, err := nomad.Run()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		status = 1
	}
	os.Exit(status)
}
