"""Draw the form of a piece above a plotted piano roll."""

import numpy as np

from clara.form.plan import UNKNOWN
from clara.rendering.form_strip import DARKNESS, SECTION_COLOURS, SIGNS, FormStrip, colour_number

# Bottom and top of each row, from 0 to 1.
BAR_ROW, SECTION_ROW, KEY_PLACE = (0.0, 0.26), (0.32, 0.74), 0.8
PHRASE_TOP = 0.38
CHARACTER_INCHES = 0.085  # width that a letter, a sign or a letter of a key's name needs


def draw_form_strip(ax, strip: FormStrip, quarters: float, width: float) -> None:
    """Draw a strip into axes above a piano roll, and the meaning of its signs.

    Parameters
    ----------
    ax : matplotlib Axes
    strip : FormStrip
    quarters : float
        What the width stands for.
    width : float
        Of the axes, in inches.
    """
    ax.set(xlim=(0, quarters), ylim=(0, 1))
    ax.axis("off")
    inches = np.minimum(strip.begin, quarters) * width / quarters
    _draw_sections(ax, strip, inches)
    _draw_bars(ax, strip, inches)
    ends = [*(bar for bar, _ in strip.keys[1:]), len(strip)]
    for (bar, name), end in zip(strip.keys, ends):
        if inches[end] - inches[bar] >= CHARACTER_INCHES * len(name):
            ax.text(strip.begin[bar], KEY_PLACE, name, fontsize=7, color="#555555", va="bottom")
    for bar in strip.phrases:
        ax.plot([strip.begin[bar]] * 2, [0, PHRASE_TOP], color="black", lw=1, solid_capstyle="butt")


def _draw_sections(ax, strip, inches):
    """Draw the sections with their letters."""
    low, high = SECTION_ROW
    for section in strip.sections:
        begin, end = strip.begin[section.begin], strip.begin[section.end]
        colour = SECTION_COLOURS[colour_number(section)]
        ax.broken_barh([(begin, end - begin)], (low, high - low), facecolor=colour, edgecolor="white", lw=0.8)
        if inches[section.end] - inches[section.begin] >= CHARACTER_INCHES * len(section.name):
            style = {"fontsize": 9, "weight": "bold", "ha": "center", "va": "center_baseline"}
            ax.text((begin + end) / 2, (low + high) / 2, section.name, **style)


def _draw_bars(ax, strip, inches):
    """Draw the bars, the darker the more literally they return, with the signs of their relations."""
    low, high = BAR_ROW
    for bar, relation in enumerate(strip.relation):
        begin, end = strip.begin[bar : bar + 2]
        darkness = DARKNESS[relation] if relation != UNKNOWN else 0.0
        ax.broken_barh(
            [(begin, end - begin)], (low, high - low), facecolor=f"{1 - darkness:.2f}", edgecolor="white", lw=0.8
        )
        if relation != UNKNOWN and inches[bar + 1] - inches[bar] >= CHARACTER_INCHES:
            colour = "white" if darkness > 0.5 else "black"
            style = {"fontsize": 7, "color": colour, "ha": "center", "va": "center"}
            ax.text((begin + end) / 2, (low + high) / 2, SIGNS[relation], **style)
