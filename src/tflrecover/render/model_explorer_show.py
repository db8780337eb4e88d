"""Opens Model Explorer with a TFLite file at the left and the Keras model that it was compared with at the right.

python show.py MODEL.tflite

It needs ``pip install ai-edge-model-explorer`` and the files beside it, which tflrecover wrote.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from urllib.parse import quote, unquote

import model_explorer
from model_explorer.config import ModelExplorerConfig

KERAS = "keras.json"


class SideBySide(ModelExplorerConfig):  # type: ignore[misc]  # the package ships no types
    """A configuration that opens two graphs, and selects in both what is selected in one.

    Attributes:
        selected: The nodes to begin with, one of either side; empty where there is none.
    """

    selected: tuple[str, str] = ("", "")

    def to_url_param_value(self) -> str:
        """What the page is told in its address."""
        told = json.loads(unquote(super().to_url_param_value()))
        # No graph has an empty id: Model Explorer then takes the first of the first model, the file's main graph.
        told["uiState"] = {"paneStates": [_pane("", "", self.selected[0]), _pane(KERAS, "keras", self.selected[1])]}
        told["sync"] = {"mode": "match_node_id"}
        return quote(json.dumps(told))


def _pane(collection: str, graph: str, node: str) -> dict[str, object]:
    return {
        "deepestExpandedGroupNodeIds": [],
        "selectedNodeId": node,
        "selectedGraphId": graph,
        "selectedCollectionLabel": collection,
        "widthFraction": 0.5,
        "selected": collection == "",
    }


def side_by_side(model: Path, folder: Path) -> SideBySide:
    """The configuration.

    Args:
        model: The file that the report was made of.
        folder: Where the report was written.
    """
    config = SideBySide()
    config.add_model_from_path(str(model))
    config.add_model_from_path(str(folder / KERAS))
    for side, name in (("tflite", model.name), ("keras", KERAS)):
        for kind in ("errors", "advice", "differences"):
            data = folder / f"{side}_{kind}.json"
            if data.is_file():
                config.add_node_data_from_path(str(data), model_name=name)
    config.selected = _first_difference(folder)
    return config


def _first_difference(folder: Path) -> tuple[str, str]:
    """The first that both sides show, else the first of either side."""
    sides = (json.loads((folder / f"{side}_differences.json").read_text("utf-8")) for side in ("tflite", "keras"))
    mine, theirs = (list(side["results"]) for side in sides)
    both = next((node for node in mine if node in theirs), None)
    return (both, both) if both is not None else (next(iter(mine), ""), next(iter(theirs), ""))


def main() -> None:
    """Starts the server and, unless told otherwise, the browser."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, metavar="MODEL.tflite")
    parser.add_argument("--port", type=int, default=8080)
    parser.add_argument("--no-browser", action="store_true", help="only print the address")
    given = parser.parse_args()
    if not given.model.is_file():
        parser.error(f"there is no file {given.model}")
    model_explorer.visualize_from_config(
        side_by_side(given.model, Path(__file__).parent), port=given.port, no_open_in_browser=given.no_browser
    )


if __name__ == "__main__":
    main()
