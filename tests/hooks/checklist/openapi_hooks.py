"""Read by schemathesis (SCHEMATHESIS_HOOKS): signs each of its calls, where the environment names a key."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import schemathesis

from cds.hooks.signing import Signer

if address := os.environ.get("SIGN_FOR"):
    signer = Signer.load(Path(os.environ["SIGN_KEY"]), os.environ["SIGN_ISSUER"], kid=os.environ["SIGN_KID"])

    @schemathesis.auth(refresh_interval=None)  # type: ignore[type-var]
    class Signed:
        """A new token for every call. Schemathesis leaves it out, and puts another in, to see that it is asked for."""

        def get(self, case: schemathesis.Case, context: schemathesis.AuthContext) -> str:
            return signer.authorization(f"{address}{case.formatted_path}", now=datetime.now(UTC))

        def set(self, case: schemathesis.Case, data: str, context: schemathesis.AuthContext) -> None:
            case.headers["Authorization"] = data
