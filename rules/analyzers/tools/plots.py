"""Draws docs/plots/*.svg from the series that the tests write.

    TRIPLINE_PLOTS=/tmp/plots cargo test -p rules-analyzers-dsp --test recordings
    pip install numpy==2.4.6 matplotlib==3.11.2 && python3 rules/analyzers/tools/plots.py /tmp/plots
"""

import pathlib
import re
import sys

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt
import numpy as np

SERIES = pathlib.Path(sys.argv[1])
OUT = pathlib.Path(__file__).parents[3] / "docs" / "plots"
matplotlib.rcParams.update(
    {
        "svg.fonttype": "none",
        "svg.hashsalt": "tripline",
        "font.size": 9,
        "font.family": "sans-serif",
        "axes.spines.top": False,
        "axes.spines.right": False,
        "path.simplify": True,
        "path.simplify_threshold": 0.3,
    }
)
BLUE, ORANGE, RED, GREY = "#1f6f9f", "#d98200", "#c0282d", "#888888"
CLASSES = ["normal", "inner race", "outer race", "ball", "cage", "uncertain"]
BEARINGS = {"DE": (5.4152, 3.5848, 4.7135), "FE": (4.9469, 3.0530, 3.9874)}
RECORDINGS = [
    ("097_normal_0hp_DE_12kderived_a", "97 healthy (12 kHz)"),
    ("097_normal_0hp_DE_48k_a", "97 healthy (48 kHz)"),
    ("097_normal_0hp_FE_48k_a", "97 healthy, fan end"),
    ("105_IR007_0hp_DE_12k", "105 inner race"),
    ("109_IR007_0hp_DE_48k", "109 inner race (48 kHz)"),
    ("210_IR021_1hp_DE_12k", "210 inner race"),
    ("130_OR007at6_0hp_DE_12k", "130 outer race"),
    ("258_OR021at12_0hp_DE_12k", "258 outer race"),
    ("118_B007_0hp_DE_12k", "118 ball"),
    ("3005_B028_0hp_DE_12k", "3005 ball"),
]


def read(name):
    return np.genfromtxt(SERIES / f"{name}.csv", delimiter=",", names=True)


def highest(x, y, points):
    """The highest of each run: a line that is drawn must not lose its peaks."""
    step = max(1, len(x) // points)
    keep = [i + int(np.argmax(y[i : i + step])) for i in range(0, len(x) - step + 1, step)]
    return x[keep], y[keep]


def save(figure, name):
    OUT.mkdir(parents=True, exist_ok=True)
    figure.savefig(OUT / f"{name}.svg", metadata={"Date": None})
    text = (OUT / f"{name}.svg").read_text()
    # A tenth of a point is finer than anyone sees; styles that are repeated become classes.
    text = re.sub(r"(\d+\.\d)\d+", r"\1", text).replace("\nL ", "L")
    styles = re.findall(r' style="([^"]*)"', text)
    classes = {style: f"s{i}" for i, style in enumerate(sorted(set(styles))) if styles.count(style) > 2}
    for style, word in classes.items():
        text = text.replace(f' style="{style}"', f' class="{word}"')
    rules = "".join(f".{word}{{{style}}}" for style, word in classes.items())
    text = text.replace("<defs>", f"<defs><style>{rules}</style></defs><defs>", 1)
    lines = (line.strip() for line in text.splitlines())
    (OUT / f"{name}.svg").write_text("\n".join(line for line in lines if line) + "\n")
    print(name, (OUT / f"{name}.svg").stat().st_size, "bytes")


def bearings():
    told = read("cwru")
    figure, axes = plt.subplots(5, 2, figsize=(9, 10), layout="constrained", sharex=True)
    for (name, title), axis, row in zip(RECORDINGS, axes.T.flat, told):
        series = read(name)
        inside = series["order"] > 0.25
        x, y = highest(series["order"][inside], series["amplitude"][inside], 150)
        axis.plot(x, y / np.median(y), color=BLUE, linewidth=0.8)
        inner, outer, ball = BEARINGS["FE" if "_FE_" in name else "DE"]
        for order, label, color in [(inner, "inner", RED), (outer, "outer", ORANGE), (ball, "ball", GREY)]:
            axis.axvline(order, color=color, linewidth=0.8, linestyle=":")
            axis.annotate(label, (order, 1), xycoords=("data", "axes fraction"), color=color, fontsize=7, ha="center")
        axis.set_title(f"{title}: told {CLASSES[int(row['class'])]}", fontsize=9, pad=12, loc="left")
        axis.set_xlim(0, 12)
        axis.set_ylim(0, None)
    figure.supxlabel("order (multiples of shaft speed)")
    figure.supylabel("envelope amplitude over its median")
    save(figure, "bearings")


def run_to_failure():
    figure, axes = plt.subplots(2, 1, figsize=(9, 5.5), layout="constrained", sharex=True)
    for channel, axis in zip(["horizontal", "vertical"], axes):
        series = read(f"femto-{channel}")
        x, y = highest(series["number"], series["ratio"], 560)
        learned = x > 200
        axis.semilogy(x[learned], y[learned], color=BLUE, linewidth=0.8)
        axis.axvspan(0, 200, color=GREY, alpha=0.15, linewidth=0)
        axis.annotate("settles, learns", (100, 0.62), ha="center", fontsize=7, color=GREY)
        for limit, color in [(2, ORANGE), (4, RED)]:
            axis.axhline(limit, color=color, linewidth=0.6, linestyle=":")
        for level, word, color in [(1, "alert", ORANGE), (2, "danger", RED)]:
            at = series["number"][series["level"] >= level][0]
            axis.axvline(at, color=color, linewidth=1.0)
            axis.annotate(f"{word} {at:.0f}", (at, 12), ha="right", color=color, fontsize=8, xytext=(-3, 0), textcoords="offset points")
        axis.set_ylim(0.5, 20)
        axis.set_ylabel(f"{channel}\nRMS over baseline")
    axes[1].set_xlabel("file (one each 10 s, 2,803 in all)")
    save(figure, "run-to-failure")


def pump():
    shown = [
        ("anomaly-free_anomaly-free_rows0-3000", "anomaly-free", None),
        ("other_7", "other_7: rotor imbalance", (572, 919)),
        ("valve1_3", "valve1_3: inlet valve closes", (573, 977)),
        ("other_13", "other_13: cavitation", (495, 760)),
        ("valve2_0", "valve2_0: outlet valve closes", (562, 956)),
    ]
    figure, axes = plt.subplots(5, 1, figsize=(9, 9), layout="constrained")
    for (name, title, labelled), axis in zip(shown, axes):
        series = read(f"skab-{name}")
        learned = series["row"] >= 400
        x, y = highest(series["row"][learned], series["t2"][learned], 240)
        axis.semilogy(x, np.maximum(y, 0.1), color=BLUE, linewidth=0.8)
        axis.axhline(11.34, color=ORANGE, linewidth=0.6, linestyle=":")
        if labelled:
            axis.axvspan(*labelled, color=RED, alpha=0.12, linewidth=0)
        strip = axis.get_xaxis_transform()
        for place, analyzer in enumerate(["hotelling", "watch", "cavitation"]):
            rows = series["row"][learned][series[analyzer][learned] > 0]
            runs = np.split(rows, np.where(np.diff(rows) > 1)[0] + 1) if len(rows) else []
            height = 0.21 - 0.08 * place
            for run in runs:
                axis.plot([run[0], run[-1] + 1], [height] * 2, color=ORANGE, linewidth=3, solid_capstyle="butt", transform=strip)
            word = ["T²", "flow CUSUM", "cavitation"][place]
            axis.annotate(word, (1.005, height), xycoords="axes fraction", fontsize=7, va="center", color=ORANGE)
        axis.set_ylim(0.002, 1e6)
        axis.set_title(title, fontsize=9, loc="left")
        axis.set_ylabel("T²")
    axes[-1].set_xlabel("row (about one a second); shaded: labelled anomalous; bars: alert")
    save(figure, "pump")


bearings()
run_to_failure()
pump()
