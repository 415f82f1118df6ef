package main

import (
	"context"
	"errors"
	"log/slog"
)

// runNode runs a node until ctx ends: role is hub or client, config the path of its configuration.
var runNode = func(_ context.Context, _ daemonOptions) error {
	return errors.New("this build has no node in it")
}

// daemonOptions is what a node is started with.
type daemonOptions struct {
	Role       string
	ConfigPath string
	Log        *slog.Logger
	Version    string
}
