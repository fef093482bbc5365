"""Compose in the browser.

Usage: python app.py

Opens a page on this machine: a beginning or none, one button, and pieces ranked by the critic, to hear, see and take
away. Nothing leaves the machine, and nobody else can call it unless --host says so.
"""

import os

from clara import cli

EXAMPLES = """
python app.py --port 8000                                     # opens a tab
python app.py --add runs/mine --no-browser                  # with a model of your own, for a tab that is open
python app.py --host 0.0.0.0 --name studio.local --at-once 2  # for others in the house
"""


def parser():
    """The command line."""
    p = cli.Parser(__doc__, EXAMPLES)
    music = p.add_argument_group("music").add_argument
    music(
        "--add",
        nargs="+",
        default=[],
        metavar="MODEL",
        help="run folders to offer beside the models that come with Clara; they compose",
    )
    music("--soundfont", metavar="FILE.SF2", help="another than the one that pretty_midi installs")
    server = p.add_argument_group("server").add_argument
    server(
        "--host",
        default="127.0.0.1",
        metavar="ADDRESS",
        help="where it listens; 0.0.0.0 lets others call it, under the names of --name",
    )
    server("--name", nargs="+", default=[], metavar="NAME", help="host names under which others call it")
    server(
        "--port",
        type=cli.within(0, 65535, int),
        default=7860,
        metavar="N",
        help="where it listens; 0 for one that is free",
    )
    run = p.add_argument_group("run").add_argument
    run(
        "--threads",
        type=cli.at_least(1),
        default=os.cpu_count() or 1,
        metavar="N",
        help="CPU threads; each composes its share of the pieces",
    )
    run(
        "--at-once",
        type=cli.at_least(1),
        default=1,
        metavar="N",
        help="people composed for side by side; the others wait",
    )
    run("--no-browser", action="store_true", help="do not open a tab")
    return p


def main(argv=None):
    """Parse, serve."""
    args = parser().parse_args(argv)
    import torch

    from clara.errors import BadSetting

    try:
        import uvicorn

        from clara_app.web.server import make_app
    except ImportError as e:
        raise BadSetting(f'the page needs {e.name}: pip install -e ".[app]" -c constraints.txt') from e
    torch.set_num_threads(1)  # texts are shared among threads instead
    app = make_app(
        args.add,
        hosts=("127.0.0.1", "localhost", *args.name, *[args.host] * (args.host != "0.0.0.0")),
        threads=args.threads,
        at_once=args.at_once,
        soundfont=args.soundfont,
    )
    server = _Server(
        uvicorn.Config(app, args.host, args.port, log_level="warning", timeout_graceful_shutdown=3), not args.no_browser
    )
    server.run()
    return 0 if server.started else cli.BAD_INPUT


def _Server(config, browser):
    """A server that says where it is once it is there."""
    import webbrowser

    import uvicorn

    class Server(uvicorn.Server):
        async def startup(self, sockets=None):
            await super().startup(sockets)
            if self.started:
                port = self.servers[0].sockets[0].getsockname()[1]
                print(
                    f"Clara is at http://{'localhost' if config.host in ('127.0.0.1', '0.0.0.0') else config.host}:{port} (Ctrl-C ends it)",
                    flush=True,
                )
                if browser:
                    webbrowser.open(f"http://localhost:{port}")

    return Server(config)


if __name__ == "__main__":
    cli.run(main)
