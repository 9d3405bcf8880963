package cli

import (
	"os"

	"github.com/urfave/cli/v2"

	"github.com/justrl/justrl/orchestrator/config"
)

func configCommand() *cli.Command {
	return &cli.Command{
		Name:         "config",
		Usage:        "print the resolved configuration, every default and unit written out",
		ArgsUsage:    "[PRESET]",
		Description:  presetList(),
		Flags:        []cli.Flag{fileFlag(), setFlag()},
		OnUsageError: usageError,
		Action: func(c *cli.Context) error {
			if c.NArg() > 1 {
				return usagef("config takes one preset, got %q too", c.Args().Get(1))
			}
			preset := c.Args().First()
			if preset == "" {
				preset = os.Getenv("JUSTRL_PRESET")
			}
			cfg, err := resolve(preset, c.String("config"), c.StringSlice("set"))
			if err != nil {
				return usage(err)
			}
			if err := validate(cfg); err != nil {
				return usage(err)
			}
			b, err := cfg.YAML()
			if err != nil {
				return err
			}
			_, err = c.App.Writer.Write(b)
			return err
		},
	}
}

func presetList() string {
	text := "Presets:"
	for _, p := range config.Presets() {
		text += "\n  " + p[0] + ": " + p[1]
	}
	return text
}

func presetFlag() cli.Flag {
	return &cli.StringFlag{Name: "preset", EnvVars: []string{"JUSTRL_PRESET"}, Usage: "start from preset `NAME` (justrl config --help lists them; default " + config.DefaultPreset + ")"}
}

func fileFlag() cli.Flag {
	return &cli.StringFlag{Name: "config", EnvVars: []string{"JUSTRL_CONFIG"}, Usage: "lay the keys of YAML `FILE` over the preset"}
}

func setFlag() cli.Flag {
	return &cli.StringSliceFlag{Name: "set", Usage: "set one `KEY=VALUE`, like sampling.n=8; may be repeated, wins over --config"}
}

// resolve lays file and assignments over a preset: the one named, else the
// one that the file names, else the default.
func resolve(preset, file string, assignments []string) (config.Config, error) {
	if preset == "" && file != "" {
		var err error
		if preset, err = config.PresetOf(file); err != nil {
			return config.Config{}, err
		}
	}
	if preset == "" {
		preset = config.DefaultPreset
	}
	cfg, err := config.Preset(preset)
	if err != nil {
		return cfg, err
	}
	if file != "" {
		if err := cfg.LoadFile(file); err != nil {
			return cfg, err
		}
	}
	err = setAll(&cfg, assignments)
	return cfg, err
}

func setAll(cfg *config.Config, assignments []string) error {
	for _, a := range assignments {
		if err := cfg.Set(a); err != nil {
			return err
		}
	}
	return nil
}
