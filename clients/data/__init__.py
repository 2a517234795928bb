"""A party's rows: how files become rows of a workload, and how rows are read again."""

from clients.data.columns import ColumnMap, read_mapping
from clients.data.importing import ImportReport, Order, import_files, run_import
from clients.data.rows import ImportedRows, RowSource
from clients.data.shelf import load

__all__ = [
    "ColumnMap",
    "ImportReport",
    "ImportedRows",
    "Order",
    "RowSource",
    "import_files",
    "load",
    "read_mapping",
    "run_import",
]
