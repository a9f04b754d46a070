"""Renderings that several tests of the chart read."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from tests.chart.chart_values import CI_VALUES
from tests.chart.helm import Helm, Rendered


@pytest.fixture(name="rendered", scope="session")
def _rendered(helm: Helm) -> Mapping[str, Rendered]:
    """Render each file of ci/."""
    return {name: helm.render(values) for name, values in CI_VALUES.items()}
