"""The probe of containers asks the API where it is, whatever the environment says of proxies."""

from __future__ import annotations

import pytest

from mindswarm_exec.cli.stack import free_port
from mindswarm_exec.errors import ApiUnavailable
from mindswarm_exec.probe import check_api
from mindswarm_exec.settings import Settings
from tests.api.running_api import RunningApi


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "::1"])
def test_the_api_is_found_where_it_is_bound(settings: Settings, host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{free_port()}")
    api = RunningApi(settings.model_copy(update={"api_host": host}))
    api.start()
    check_api(api.settings)
    api.stop()
    with pytest.raises(ApiUnavailable, match="is not ready"):
        check_api(api.settings)


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_an_api_that_is_bound_everywhere_is_found_on_loopback(settings: Settings, host: str) -> None:
    api = RunningApi(settings.model_copy(update={"api_host": host, "api_keys": True}))
    api.start()
    check_api(api.settings)
    api.stop()
