"""The colours of figures. A page that has them by other names sets ``--pf-…``; ``CSS`` goes into its style sheet."""

TONES: dict[str, str] = {
    "ink": "#1b1f24",
    "soft": "#59636e",
    "line": "#d5dbe1",
    "paper": "#ffffff",
    "before": "#98a3b0",
    "after": "#0f766e",
    "bad": "#b3261e",
    "warm": "#d9480f",
    "cold": "#1d6fb8",
}
DARK: dict[str, str] = {
    "ink": "#e8edf2",
    "soft": "#a3afbb",
    "line": "#323b45",
    "paper": "#11161b",
    "before": "#6f7c8a",
    "after": "#4fc4b0",
    "bad": "#ff9489",
    "warm": "#ff8a4c",
    "cold": "#6cb4f5",
}


def _variables(tones: dict[str, str]) -> str:
    return "".join(f"--pf-{name}:{colour};" for name, colour in tones.items())


CSS = (
    f":root{{{_variables(TONES)}}}"
    f"@media (prefers-color-scheme:dark){{:root{{{_variables(DARK)}}}}}"
    f"@media print{{:root{{{_variables(TONES)}}}}}"
    + "".join(
        f".pf-{name}{{fill:var(--pf-{name},{colour})}}.pf-s-{name}{{stroke:var(--pf-{name},{colour})}}"
        for name, colour in TONES.items()
    )
    + ".pf{display:block;width:100%;height:auto;print-color-adjust:exact;-webkit-print-color-adjust:exact;"
    "font-family:system-ui,sans-serif;font-variant-numeric:tabular-nums}"
)
