"""Pages for people: no script, nothing loaded, not kept, not framed."""

from __future__ import annotations

from flask import Response, make_response, render_template_string

__all__ = ["page"]

STYLE = """
:root { --ink: #1c1e21; --paper: #f5f6f8; --card: #fff; --soft: #5c636e; --edge: #dfe3e8; --act: #1a56c4; --on: #fff }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e9ebee; --paper: #14161a; --card: #1e2126; --soft: #a3abb7; --edge: #343a43; --act: #7fb0ff; --on: #0c1220 }
}
body { font: 16px/1.55 system-ui, sans-serif; color: var(--ink); background: var(--paper); margin: 0; padding: 8vh 1rem }
main { max-width: 34rem; margin: auto; padding: 2rem; background: var(--card); border: 1px solid var(--edge) }
main, button { border-radius: 10px }
h1 { font-size: 1.35rem; margin: 0 0 1rem } li { margin: .4rem 0 } code { font-size: .9em } .soft { color: var(--soft) }
button { font: inherit; padding: .6rem 1.2rem; border: 0; background: var(--act); color: var(--on); cursor: pointer }
"""

LAYOUT = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark"><meta name="robots" content="noindex">
<title>{{ title }}</title>
<style>{{ style | safe }}</style>
</head>
<body><main><h1>{{ title }}</h1>
{{ inside | safe }}
</main></body></html>"""


def _harden(made: Response, *, forms: str = "'self'") -> Response:
    """With the headers every page bears."""
    made.headers["Content-Security-Policy"] = (
        f"default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; form-action {forms}"
    )
    made.headers["Cache-Control"] = "no-store"
    made.headers["Referrer-Policy"] = "no-referrer"
    made.headers["X-Content-Type-Options"] = "nosniff"
    return made


def page(title: str, inside: str, status: int = 200, *, forms: str = "'self'") -> Response:
    """A page: `inside` is HTML in which whatever isn't ours is escaped."""
    html = render_template_string(LAYOUT, title=title, inside=inside, style=STYLE)
    return _harden(make_response(html, status), forms=forms)
