"""``python -m tests.servers``: fetch every server that this machine can run, and say which it cannot, and why."""

from tests.servers.flavors import FLAVORS, available


def main() -> None:
    for flavor in FLAVORS.values():
        print(f"{flavor.name:10} {available(flavor.name) or 'ready'}", flush=True)


if __name__ == "__main__":
    main()
