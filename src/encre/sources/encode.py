"""The ENCODE portal: which per-biosample cCRE files and signal files it has, found by organ, biosample or accession.

Its REST search (https://www.encodeproject.org/help/rest-api/) answers JSON to ``Accept: application/json``; a 404
with a JSON body means that nothing was found. A file has two addresses, tried in this order: the portal's own
(``href``), then the cloud's (``cloud_metadata.url``).
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal
from urllib.parse import urlencode, urljoin, urlsplit

import polars as pl
from urllib3.exceptions import HTTPError

from encre.errors import ConfigError, DataError, FormatError, ResourceError, nearest
from encre.progress import SILENT, Progress
from encre.sources.ahead import in_order
from encre.sources.biosamples import Biosamples
from encre.sources.catalogue import Entry
from encre.sources.ccres import LICENCE
from encre.sources.organs import ORGAN_RULES, organ_of, terms_of
from encre.sources.web import BUSY, RefusedError, Web

ADDRESS = "https://www.encodeproject.org"
ENCYCLOPEDIA = "ENCODE v4"
CITATION = "The ENCODE Project Consortium, Moore et al. 2020, Nature 583:699-710"
Assay = Literal["cCRE", "DNase", "ATAC", "H3K27ac"]

_Params = tuple[tuple[str, str], ...]
#: Assay -> what to search for, and which of its files are wanted.
_QUERIES: Mapping[str, _Params] = {
    "cCRE": (("type", "Annotation"), ("annotation_type", "candidate Cis-Regulatory Elements")),
    "DNase": (("type", "Experiment"), ("assay_title", "DNase-seq")),
    "ATAC": (("type", "Experiment"), ("assay_title", "ATAC-seq")),
    "H3K27ac": (("type", "Experiment"), ("assay_title", "Histone ChIP-seq"), ("target.label", "H3K27ac")),
}
_OUTPUTS = {
    "DNase": "read-depth normalized signal",
    "ATAC": "fold change over control",
    "H3K27ac": "fold change over control",
}
# ENCODE says mm10 where others say GRCm38.
_ASSEMBLIES = {"hg38": "GRCh38", "grch37": "hg19", "grcm38": "mm10", "grcm39": "mm39"}
_COLUMNS = {
    "accession": pl.String,
    "file_accession": pl.String,
    "biosample": pl.String,
    "classification": pl.String,
    "organ": pl.String,
    "size": pl.Int64,
    "date": pl.String,
    "md5": pl.String,
    "address": pl.String,
    "mirror": pl.String,
    "output_type": pl.String,
}
_AT_ONCE = 4
_TRIES = 3


class Portal:
    """ENCODE's portal, or a mirror of it.

    Parameters
    ----------
    address
        Its base.
    web
        The client.
    encyclopedia
        Which version of ENCODE's encyclopedia the cCREs are of; it must go with the registry.
    pause
        Seconds between the beginnings of two requests, in all threads together.
    """

    def __init__(
        self,
        address: str = ADDRESS,
        *,
        web: Web | None = None,
        encyclopedia: str = ENCYCLOPEDIA,
        pause: float = 0.1,
    ) -> None:
        if urlsplit(address).scheme not in ("https", "http"):
            raise ConfigError(f"the address of ENCODE begins with https:// or http://, not as '{address}'")
        self.address = address.rstrip("/")
        self.web = web or Web()
        self.encyclopedia, self.pause = encyclopedia, pause
        self._guard = threading.Lock()
        self._next = 0.0

    def get(self, path: str, params: _Params = ()) -> dict[str, Any] | None:
        """The JSON object at a path, or None when there is none (404 with a JSON body).

        Raises
        ------
        ResourceError
            When the portal does not answer, or stays busy.
        FormatError
            When it answers something else than JSON.
        """
        address = f"{self.address}{path}"
        if params:
            address += "?" + urlencode(params, safe="/*!")
        status, body = self._fetch(address)
        if status in BUSY:
            remedy = "Try again later."
            raise ResourceError(f"ENCODE is busy and stays so (status {status})", where=address, remedy=remedy)
        try:
            found = json.loads(body)
        except ValueError:
            found = None
        if not isinstance(found, dict):
            page = re.match(rb"\s*<(!doctype|html)", body[:200], re.IGNORECASE)
            raise FormatError(
                "ENCODE did not answer with JSON",
                where=address,
                got=f"{'a web page' if page else 'something else'} (status {status})",
                remedy='Try again later, or name a mirror: [download] encode = "https://…".',
            )
        if status == 404:
            return None
        if status != 200:
            said = found.get("detail") or found.get("description") or found.get("title") or ""
            raise ResourceError(
                f"ENCODE refused (status {status}{f': {said}' if said else ''})",
                where=address,
                remedy="Try again later.",
            )
        return found

    def hits(self, params: _Params) -> list[dict[str, Any]]:
        """Everything that a search finds; a server that gives it in pages is asked for the next."""
        found: list[dict[str, Any]] = []
        begin: _Params = ()
        while True:
            answer = self.get("/search/", (*params, ("format", "json"), ("limit", "all"), *begin))
            graph = answer.get("@graph", []) if answer else []
            page = [hit for hit in graph if isinstance(hit, dict)] if isinstance(graph, list) else []
            found += page
            total = answer.get("total") if answer else None
            if not page or not isinstance(total, int) or len(found) >= total:
                return found
            begin = (("from", str(len(found))),)

    def _fetch(self, address: str) -> tuple[int, bytes]:
        """Status and body; an answer that breaks off is asked for again."""
        reason = ""
        for _ in range(_TRIES):
            self._take_turn()
            try:
                response = self.web.open(address, headers={"Accept": "application/json"})
            except RefusedError as error:
                reason = str(error)
                break
            try:
                return response.status, response.read()
            except (HTTPError, OSError) as error:
                self.web.check()
                reason = f"broke off ({error})"
            finally:
                self.web.close(response)
        remedy = 'Check the network and try again, or name a mirror: [download] encode = "https://…".'
        raise ResourceError(f"ENCODE {reason}", where=address, remedy=remedy)

    def _take_turn(self) -> None:
        with self._guard:
            now = time.monotonic()
            mine = max(now, self._next)
            self._next = mine + self.pause
        if mine > now:
            self.web.pause(mine - now)


def search(
    organ: str | None = None,
    assay: Assay = "cCRE",
    *,
    biosample: str | None = None,
    assembly: str = "GRCh38",
    limit: int | None = None,
    portal: Portal | None = None,
    progress: Progress = SILENT,
) -> pl.DataFrame:
    """Files of released annotations (cCRE) or experiments (signal, bigWig), a row a file.

    Parameters
    ----------
    organ
        One of :data:`encre.sources.organs.ORGAN_RULES`, ``large_intestine`` as well as ``large intestine``; another
        word is searched as ENCODE's own term.
    assay
        Per-biosample cCREs, or signal of DNase-seq, ATAC-seq or H3K27ac ChIP-seq.
    biosample
        Only biosamples with this text in their name.
    assembly, limit
        Of the files; at most so many rows.
    portal, progress
        Where to search; follows the datasets.

    Returns
    -------
    pl.DataFrame
        ``accession`` (of the annotation or experiment), ``file_accession``, ``biosample``, ``classification``,
        ``organ``, ``size`` (bytes, null where it is not said), ``date`` (ISO 8601), ``md5``, ``address``, ``mirror``,
        ``output_type``, sorted by biosample and accession; no row when nothing was found.

    Raises
    ------
    ResourceError, FormatError
        As :meth:`Portal.get`.
    """
    if assay not in _QUERIES:
        raise ConfigError(f"there is no assay '{assay}' to search for", remedy=nearest(assay, _QUERIES))
    portal = portal or Portal()
    assembly = _ASSEMBLIES.get(assembly.lower(), assembly)
    wanted = biosample.casefold() if biosample else ""
    sets = [
        one for one in _datasets(portal, organ, assay, assembly=assembly) if wanted in one["biosample"].casefold()
    ]
    rows: list[dict[str, Any]] = []
    workers = 1 if limit else _AT_ONCE  # with a limit only as many are asked for as it takes
    found = in_order(
        lambda one: _rows(portal, one, assay, assembly=assembly), sets, workers=workers, stop=portal.web.stop
    )
    with progress.track(f"search {assay}", len(sets), "datasets") as advance:
        for files in found:
            rows += files
            advance(1, "")
            if limit and len(rows) >= limit:
                break
    return pl.DataFrame(rows[:limit], schema=_COLUMNS)


def entries_of_config(
    values: Mapping[str, Any], *, portal: Portal | None = None, progress: Progress = SILENT
) -> dict[str, list[Entry]]:
    """What to download for the tissues that a config makes of biosamples.

    Parameters
    ----------
    values
        A dataset config's plain values. Each table under [source.tissues] with an organ or accessions and without
        files counts; ``[download]`` may name another portal (``encode``) and ``encyclopedia``.
    portal
        Where to search, instead of the one that the config names.
    progress
        Follows the searches.

    Returns
    -------
    dict
        What :attr:`encre.sources.biosamples.Biosamples.groups` says -> its files, in a fixed order.

    Raises
    ------
    ConfigError
        For a table that is not right.
    DataError
        When ENCODE has no file of an organ or accession.
    """
    source, settings = values.get("source", {}), values.get("download", {})
    tissues = source.get("tissues", {}) if isinstance(source, Mapping) else {}
    assembly = str(source.get("assembly", "GRCh38")) if tissues else ""
    found: dict[str, list[Entry]] = {}
    for name, chosen in tissues.items():
        if not isinstance(chosen, Mapping) or chosen.get("files"):
            continue
        wanted = Biosamples.parse(chosen, where=f"[source.tissues.{name}]")
        portal = portal or Portal(
            settings.get("encode") or ADDRESS, encyclopedia=settings.get("encyclopedia") or ENCYCLOPEDIA
        )
        for group in wanted.groups:
            if group not in found:
                found[group] = _entries(portal, wanted, group, assembly=assembly, progress=progress)
    return found


def _entries(portal: Portal, wanted: Biosamples, group: str, *, assembly: str, progress: Progress) -> list[Entry]:
    if wanted.organ:
        table = search(wanted.organ, assembly=assembly, portal=portal, progress=progress)
        if wanted.classification:
            table = table.filter(pl.col("classification").is_in(wanted.classification))
    else:
        table = _by_accession(portal, group, assembly=_ASSEMBLIES.get(assembly.lower(), assembly))
    best = table.unique("accession", keep="first", maintain_order=True)
    if not best.height:
        organs = {organ for _, organ in ORGAN_RULES}
        organ = wanted.organ.replace("_", " ")
        look = "Look for it with `encre data search`; [download] encyclopedia may be another."
        raise DataError(
            f"ENCODE has no cCRE file of {group} in {assembly}",
            where=portal.address,
            remedy=nearest(organ, organs) if organ and organ not in organs else look,
        )
    return [_entry(row, assembly) for row in best.iter_rows(named=True)]


def _entry(row: Mapping[str, Any], assembly: str) -> Entry:
    addresses = tuple(address for address in (row["address"], row["mirror"]) if address)
    if not addresses:
        raise DataError(
            f"ENCODE names no address for {row['file_accession']} of {row['accession']}",
            remedy="Leave that biosample out, or bring its file and name it with files = [...].",
        )
    return Entry(
        name=row["file_accession"],
        title=f"cCREs in {row['biosample'] or row['accession']}",
        addresses=addresses,
        form="biosample",
        size=row["size"],
        md5=row["md5"],
        assembly=assembly,
        licence=LICENCE,
        citation=f"{CITATION}; ENCODE {row['accession']}",
    )


def _datasets(portal: Portal, organ: str | None, assay: str, *, assembly: str) -> list[dict[str, Any]]:
    """Annotations or experiments with biosample, classification and organ, each once, by biosample and accession."""
    base = (*_QUERIES[assay], ("assembly", assembly), ("status", "released"))
    if assay == "cCRE":
        base = (*base, ("encyclopedia_version", portal.encyclopedia))
    organ = organ.replace("_", " ") if organ else None
    known = organ in {name for _, name in ORGAN_RULES}
    found: dict[str, dict[str, Any]] = {}
    for condition in terms_of(organ) if organ else [()]:
        for hit in portal.hits((*base, *condition)):
            one = _dataset(hit)
            if organ and not known:
                one["organ"] = organ
            if one["accession"] and (organ is None or one["organ"] == organ):
                found.setdefault(one["accession"], one)
    return sorted(found.values(), key=lambda one: (one["biosample"].casefold(), one["accession"]))


def _dataset(hit: Mapping[str, Any]) -> dict[str, Any]:
    ontology = hit.get("biosample_ontology")
    ontology = ontology if isinstance(ontology, Mapping) else {}
    slims = ontology.get("organ_slims")
    name = _text(ontology, "term_name") or _text(hit, "biosample_summary", "description")
    return {
        "accession": _text(hit, "accession"),
        "biosample": name,
        "classification": _text(ontology, "classification"),
        "organ": organ_of(slims if isinstance(slims, Sequence) and not isinstance(slims, str) else (), name),
        "date": _text(hit, "date_released"),
    }


def _rows(portal: Portal, dataset: Mapping[str, Any], assay: str, *, assembly: str) -> list[dict[str, Any]]:
    """The wanted files of one dataset, the best first."""
    accession = dataset["accession"]
    if assay == "cCRE":
        files = portal.hits((("type", "File"), ("dataset", f"/annotations/{accession}/"), ("file_format", "bed")))
    else:
        whole = portal.get(f"/experiments/{accession}/", (("format", "json"),)) or {}
        files = [file for file in whole.get("files", []) if isinstance(file, dict)]
    return [_row(portal, dataset, file) for file in _wanted(files, assay, assembly=assembly)]


def _wanted(files: Sequence[dict[str, Any]], assay: str, *, assembly: str) -> Iterator[dict[str, Any]]:
    """Released files of the form and assembly, only the portal's preferred ones where it has any; newest first."""

    def fits(file: Mapping[str, Any], key: str, right: str) -> bool:
        return file.get(key) in (None, right)

    output, form = _OUTPUTS.get(assay), "bigWig" if assay in _OUTPUTS else "bed"
    found = [
        file
        for file in files
        if fits(file, "assembly", assembly)
        and fits(file, "status", "released")
        and fits(file, "file_format", form)
        and (output is None or file.get("output_type") == output)
        and file.get("accession")
    ]
    preferred = [file for file in found if file.get("preferred_default")]
    newest = sorted(preferred or found, key=lambda file: str(file["accession"]))
    return iter(sorted(newest, key=lambda file: _text(file, "date_created"), reverse=True))


def _row(portal: Portal, dataset: Mapping[str, Any], file: Mapping[str, Any]) -> dict[str, Any]:
    cloud = file.get("cloud_metadata")
    href = _text(file, "href")
    size = file.get("file_size")
    return {
        **{key: dataset[key] for key in ("accession", "biosample", "classification", "organ")},
        "file_accession": file["accession"],
        "size": size if isinstance(size, int) else None,
        "date": (_text(file, "date_created") or dataset["date"])[:10],
        "md5": _text(file, "md5sum"),
        "address": urljoin(f"{portal.address}/", href.lstrip("/")) if href else "",
        "mirror": _text(cloud, "url") if isinstance(cloud, Mapping) else "",
        "output_type": _text(file, "output_type"),
    }


def _by_accession(portal: Portal, accession: str, *, assembly: str) -> pl.DataFrame:
    """The cCRE files of an annotation (ENCSR…), or one file (ENCFF…), as :func:`search` gives them."""
    if accession[3:5] == "SR":
        hits = portal.hits((("type", "Annotation"), ("accession", accession)))
        dataset = _dataset(next((hit for hit in hits if hit.get("accession") == accession), {"accession": accession}))
        return pl.DataFrame(_rows(portal, dataset, "cCRE", assembly=assembly), schema=_COLUMNS)
    file = portal.get(f"/files/{accession}/", (("format", "json"),))
    files = list(_wanted([file], "cCRE", assembly=assembly)) if file else []
    dataset = _dataset({**(file or {}), "accession": accession})
    return pl.DataFrame([_row(portal, dataset, one) for one in files], schema=_COLUMNS)


def _text(values: Mapping[str, Any], *keys: str) -> str:
    """The first of these that is a text."""
    return next((value for key in keys if isinstance(value := values.get(key), str)), "")
