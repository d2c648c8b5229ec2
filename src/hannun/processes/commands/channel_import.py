"""What `hannun channels import` needs."""

from collections.abc import Iterator
from contextlib import contextmanager

from hannun.counting.measurement_counter import MeasurementCounter
from hannun.processes.writing import open_writing
from hannun.settings import Settings


@contextmanager
def open_measurement_counter(settings: Settings, application: str) -> Iterator[MeasurementCounter]:
    """A counter of measurements, with PostgreSQL and Redis checked."""
    with open_writing(settings, application) as writing:
        yield writing.direct_measurement_counter()
