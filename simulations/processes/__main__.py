"""One process of such a federation: ``python -m simulations.processes ROLE FOLDER [PARTY]``."""

import sys
from pathlib import Path

from federation.flower import configure_logs
from federation.supervision import end_with_parent
from simulations.processes.place import read


def main(role: str, folder: str, *party: str) -> None:
    """Do what `role` does, until the process that started us ends us."""
    configure_logs()
    place = read(Path(folder))
    from server.app.executor import read_token
    from simulations.processes import roles

    if role == "rounds":
        token = read_token()
        end_with_parent()
        roles.run_rounds(place, token)
        return
    end_with_parent()
    if role in ("superlink", "executor"):
        (roles.run_superlink if role == "superlink" else roles.run_executor)(place)
    else:
        (roles.run_supernode if role == "supernode" else roles.run_worker)(place, party[0])


if __name__ == "__main__":
    main(*sys.argv[1:])
