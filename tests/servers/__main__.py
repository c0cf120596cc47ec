"""``python -m tests.servers``: fetch every server that this machine can run, and say which it cannot, and why."""

from tests.servers import flavors, postgres_flavors


def main() -> None:
    for name in flavors.FLAVORS:
        print(f"{name:10} {flavors.available(name) or 'ready'}", flush=True)
    for name in postgres_flavors.POSTGRES_FLAVORS:
        print(f"{name:10} {postgres_flavors.available(name) or 'ready'}", flush=True)


if __name__ == "__main__":
    main()
