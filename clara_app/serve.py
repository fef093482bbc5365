"""Compose in the browser.

Usage: python app.py

Opens a page on this machine: choose a prompt or none, press one button, and listen to pieces that the critic ranked.
Nothing leaves the machine, and no other machine can reach the page unless --host allows it.
"""

import os

from clara import cli

LOCAL_ADDRESS = "127.0.0.1"
ALL_ADDRESSES = "0.0.0.0"
SHUTDOWN_SECONDS = 3
DEFAULT_LIBRARY = "output/library"
EXAMPLES = """
python app.py --port 8000                                      # opens a tab
python app.py --add-model runs/mine --no-browser               # offer a model of your own, open no tab
python app.py --host 0.0.0.0 --name studio.local --jobs 2   # for others in the house
"""


def parser() -> cli.Parser:
    """Return the command line's parser."""
    p = cli.Parser(__doc__, EXAMPLES)
    music = p.add_argument_group("music").add_argument
    music(
        "--add-model",
        nargs="+",
        type=cli.folder_path,
        default=[],
        metavar="FOLDER",
        help="Run folders of models to offer beside the shipped ones.",
    )
    music(
        "--add-adapter",
        nargs="+",
        type=cli.file_path,
        default=[],
        metavar="FILE",
        help="Adapter files to offer as instruments, as train.py --adapter wrote them for shipped models.",
    )
    music(
        "--soundfont",
        type=cli.file_path,
        metavar="FILE.SF2",
        help="Soundfont to render with (default: the one that pretty_midi installs).",
    )
    music(
        "--library",
        default=DEFAULT_LIBRARY,
        metavar="FOLDER",
        help=f"Folder that keeps beginnings, requests and pieces (default: {DEFAULT_LIBRARY}).",
    )
    server = p.add_argument_group("server").add_argument
    server(
        "--host",
        default=LOCAL_ADDRESS,
        metavar="ADDRESS",
        help="Address to listen at; 0.0.0.0 lets other machines connect, under the names in --name.",
    )
    server("--name", nargs="+", default=[], metavar="NAME", help="Host names under which other machines connect.")
    server(
        "--port",
        type=cli.within(0, 65535, int),
        default=7860,
        metavar="N",
        help="Port to listen at; 0 for any free port.",
    )
    run = p.add_argument_group("run").add_argument
    run(
        "--threads",
        type=cli.at_least(1),
        default=os.cpu_count() or 1,
        metavar="N",
        help="Number of CPU threads; each composes its share of the pieces.",
    )
    run(
        "--jobs",
        type=cli.at_least(1),
        default=1,
        metavar="N",
        help="Number of requests to compose for at the same time; the others wait.",
    )
    run("--no-browser", action="store_true", help="Do not open a tab.")
    return p


def main(argv: list[str] | None = None) -> int:
    """Serve the page until Ctrl-C; return the exit status."""
    args = parser().parse_args(argv)
    import torch

    from clara.errors import BadSetting

    try:
        import uvicorn

        from clara_app.web.connections import LimitedProtocol
        from clara_app.web.server import make_app
    except ImportError as e:
        raise BadSetting(f"the page needs {e.name}: pip install {e.name}") from e
    torch.set_num_threads(1)  # the composer's own threads share the pieces
    hosts = [LOCAL_ADDRESS, "localhost", *args.name]
    if args.host != ALL_ADDRESSES:
        hosts.append(args.host)
    app = make_app(
        args.add_model,
        adapters=args.add_adapter,
        hosts=hosts,
        threads=args.threads,
        n_workers=args.jobs,
        soundfont=args.soundfont,
        library=args.library,
    )
    config = uvicorn.Config(
        app,
        args.host,
        args.port,
        http=LimitedProtocol,
        log_level="warning",
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
    )
    server = _make_server(config, open_browser=not args.no_browser)
    server.run()
    return 0 if server.started else cli.BAD_INPUT


def _make_server(config, open_browser):
    """Return a server that prints its address once it listens."""
    import webbrowser

    import uvicorn

    class Server(uvicorn.Server):
        async def startup(self, sockets=None):
            await super().startup(sockets)
            if not self.started:
                return
            port = self.servers[0].sockets[0].getsockname()[1]
            host = "localhost" if config.host in (LOCAL_ADDRESS, ALL_ADDRESSES) else config.host
            print(f"Clara is at http://{host}:{port} (stop with Ctrl-C)", flush=True)
            if open_browser:
                webbrowser.open(f"http://localhost:{port}")

    return Server(config)


if __name__ == "__main__":
    cli.run(main)
