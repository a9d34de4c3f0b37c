"""`python -m outreach_sdk.cli`."""

from outreach_sdk.cli import main

main()
