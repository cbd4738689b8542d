"""A data set from its official addresses into the folder that `mue prepare` reads."""

from pathlib import Path

from mue_cli.data.fetch.addresses import (
    DATASETS,
    FLICKR30K_TEST,
    FLICKR30K_TRAIN_VAL,
    SNLI,
    RemoteFile,
)
from mue_cli.data.fetch.archives import unpack
from mue_cli.data.fetch.download import Report, download
from mue_cli.data.fetch.http import require_address
from mue_cli.data.fetch.snli import write_snli_ve
from mue_cli.data.sources.places import find_images
from mue_cli.data.sources.snli_ve import FILES


def fetch(
    dataset: str, folder: Path, out: Path, mirror: str | None = None, report: Report | None = None
) -> None:
    """Download what the folder lacks of a data set and unpack what must be.

    out: where the data will be prepared; room for another copy of the images is asked for there as
    well, before anything is fetched. mirror: address of a folder that has the files under the same
    names, in place of the official ones. Raises DataError as download, unpack and write_snli_ve do.
    """
    if mirror is not None:
        require_address(mirror)
    if dataset == "snli-ve" and all((folder / name).is_file() for name in FILES.values()):
        return
    files = [file.on(mirror) for file in DATASETS[dataset] if _is_needed(file, folder)]
    images = sum((file.size or file.extra_room) for file in files if file.images)
    download(files, folder, report, room={out: images} if images else {})
    for file in files:
        if file.members:
            unpack(folder / file.name, file.members, folder)
    if dataset == "snli-ve":
        write_snli_ve(
            folder / SNLI.name,
            folder / FLICKR30K_TRAIN_VAL.name,
            folder / FLICKR30K_TEST.name,
            folder,
        )


def _is_needed(file: RemoteFile, folder: Path) -> bool:
    """Tell whether neither the members of an archive are there, nor its images in another form
    (unpacked, or as .tar).
    """
    if file.members:
        return not all((folder / target).is_file() for target in file.members.values())
    return not [path for path in find_images(folder, file.images) if path != folder / file.name]
