"""A corpus as tokens: verified shards that describe themselves, made by a run that may be stopped.

listing     DATA -> recordings, here or in a store
plan        which recordings go into which shard
encoding    recordings -> rows, read ahead
formats/    rows -> files, and back
shard       one shard, written, read back, renamed
run         all shards, by whichever executor
ray         the executor of a cluster
reading     the rows of an export
sources     tokens wherever they lie
verify      an export read again
storage     local folders and stores
"""

from vqaudio.export.formats import FORMATS, Format
from vqaudio.export.header import Header
from vqaudio.export.index import Index
from vqaudio.export.reading import is_export, is_shard, read_export, read_header
from vqaudio.export.row import Row
from vqaudio.export.run import Executor, Order, export, in_processes, in_this_process
from vqaudio.export.shard import Task, export_shard
from vqaudio.export.sources import holds_rows, read_rows
from vqaudio.export.summary import Summary
from vqaudio.export.verify import Verified, verify

__all__ = [
    "FORMATS",
    "Executor",
    "Format",
    "Header",
    "Index",
    "Order",
    "Row",
    "Summary",
    "Task",
    "Verified",
    "export",
    "export_shard",
    "holds_rows",
    "in_processes",
    "in_this_process",
    "is_export",
    "is_shard",
    "read_export",
    "read_header",
    "read_rows",
    "verify",
]
