"""How much room there is where this process writes."""

import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from store.settings import Settings


def free_bytes(settings: Settings) -> dict[str, int]:
    """Of the data folder, and of the blobs where they are in a folder; nothing of a folder that is not there yet."""
    places = {"data": settings.data_dir}
    if settings.blob_url.startswith("file:"):
        places["blobs"] = Path(unquote(urlsplit(settings.blob_url).path))
    return {place: shutil.disk_usage(folder).free for place, folder in places.items() if folder.is_dir()}


class FreeDisk(Collector):
    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def describe(self) -> Iterable[Metric]:
        return (_family(),)

    def collect(self) -> Iterator[Metric]:
        family = _family()
        for place, free in free_bytes(self._settings).items():
            family.add_metric([place], free)
        yield family


def _family() -> GaugeMetricFamily:
    return GaugeMetricFamily("pith_disk_free_bytes", "Room left where this process writes.", labels=["place"])
