"""A mail server that writes each message that it takes as a line of JSON, and behaves as it is told.

It prints its port once it listens, and ends when its standard input does.
"""

import argparse
import asyncio
import json
import pathlib
import ssl
import sys

from aiosmtpd.smtp import SMTP, AuthResult

parser = argparse.ArgumentParser()
parser.add_argument("--into", type=pathlib.Path, required=True)
parser.add_argument("--starttls", action="store_true", help="takes nothing before STARTTLS")
parser.add_argument("--tls", action="store_true", help="secured from the beginning")
parser.add_argument("--login", help="name:password, without which nothing is taken")
parser.add_argument("--refuse", action="store_true", help="takes no recipient")
arguments = parser.parse_args()

here = pathlib.Path(__file__).parent / "tls"


class Taking:
    async def handle_RCPT(self, server, session, envelope, address, options):
        if arguments.refuse:
            return "550 nobody of this name"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        line = {
            "from": envelope.mail_from,
            "to": envelope.rcpt_tos,
            "data": envelope.content.decode("utf-8", "replace"),
            "hello": session.host_name,
            "secured": bool(session.ssl) or arguments.tls,
            "login": session.auth_data and session.auth_data.login.decode(),
        }
        with arguments.into.open("a") as into:
            into.write(json.dumps(line) + "\n")
        return "250 taken"


def is_known(server, session, envelope, mechanism, data):
    known = f"{data.login.decode()}:{data.password.decode()}" == arguments.login
    return AuthResult(success=known, handled=known, auth_data=data if known else None)


def secured():
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(here / "server.pem", here / "server.key")
    return context


def serve():
    return SMTP(
        Taking(),
        tls_context=secured() if arguments.starttls else None,
        require_starttls=arguments.starttls,
        authenticator=is_known if arguments.login else None,
        auth_required=bool(arguments.login),
        auth_require_tls=not arguments.tls,
        hostname="mail.test",
    )


async def main():
    loop = asyncio.get_running_loop()
    around = secured() if arguments.tls else None
    server = await loop.create_server(serve, "127.0.0.1", 0, ssl=around)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)


asyncio.run(main())
