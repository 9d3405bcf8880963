#!/usr/bin/env python3
"""Imports a justrl run into Weights & Biases, from the files beside this script.

    pip install wandb
    python wandb_import.py --project NAME [--entity NAME] [--offline]

With --offline nothing is sent; `wandb sync` sends it later. Imported again, a run
takes the place of the one that was imported before, because its id is the same.
"""

import argparse
import json
import pathlib

import wandb


def main():
    here = pathlib.Path(__file__).resolve().parent
    flags = argparse.ArgumentParser(description="import a justrl run into Weights & Biases")
    flags.add_argument("--project", default="justrl")
    flags.add_argument("--entity")
    flags.add_argument("--name", help="of the run (default: its folder's)")
    flags.add_argument("--offline", action="store_true", help="send nothing yet")
    args = flags.parse_args()

    about = json.loads((here / "run.json").read_text())
    run = wandb.init(
        project=args.project, entity=args.entity, name=args.name or about["name"], id=about["id"],
        config=about["config"], mode="offline" if args.offline else None,
    )
    rows = 0
    with open(here / "history.jsonl") as history:
        for line in history:
            row = json.loads(line)
            run.log(row, step=row.pop("_step"))
            rows += 1
    run.summary.update(about["summary"])
    run.finish()
    print(f"{rows} rows of run {about['id']} are imported")


if __name__ == "__main__":
    main()
