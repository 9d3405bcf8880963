//go:build !((linux && (amd64 || arm64)) || (darwin && (amd64 || arm64)))

package sympy

import "errors"

const embeddedHere = false

func unpackPython(string) error { return errors.ErrUnsupported }

func unpackPip(string) (string, error) { return "", errors.ErrUnsupported }
