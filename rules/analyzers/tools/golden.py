"""Writes rules/analyzers/dsp/tests/golden.json: what numpy and scipy compute, for the tests to compare with.

    pip install numpy==2.4.6 scipy==1.17.1 && python3 rules/analyzers/tools/golden.py

The signal is made of integers by a recurrence that the tests repeat, so that it is the same to the bit.
"""

import json
import pathlib

import numpy as np
import scipy.signal
import scipy.stats

N, RATE = 4096, 12000.0
OUT = pathlib.Path(__file__).parents[1] / "dsp" / "tests" / "golden.json"


def signal(length, period):
    """Noise of a linear congruential generator (Numerical Recipes), and an impulse each `period` samples; exact in f32."""
    state, out = 1, []
    for i in range(length):
        state = (state * 1664525 + 1013904223) % 2**32
        out.append((state >> 16) / 65536.0 - 0.5 + (2.0 if period and i % period == 0 else 0.0))
    return np.array(out)


def band_envelope(x, low, high):
    spectrum = np.fft.rfft(x - x.mean())
    hz = np.fft.rfftfreq(len(x), 1 / RATE)
    spectrum[(hz < low) | (hz > high)] = 0
    return np.abs(scipy.signal.hilbert(np.fft.irfft(spectrum, len(x))))


def velocity(x, low, high):
    """RMS in mm/s by scipy's density, divided by the square of the angular frequency."""
    hz, density = scipy.signal.periodogram(x, RATE, window="hann", detrend="constant")
    inside = (hz >= low) & (hz <= high)
    power = density[inside] * (9806.65 / (2 * np.pi * hz[inside])) ** 2
    return np.sqrt(power.sum() * (hz[1] - hz[0]))


def band_rms(x, low, high):
    hz, density = scipy.signal.periodogram(x, RATE, window="hann", detrend="constant")
    return np.sqrt(density[(hz >= low) & (hz <= high)].sum() * (hz[1] - hz[0]))


x = signal(N, 111)
envelope = band_envelope(x, 2000.0, 5640.0)
step = 2  # the envelope has half the record's points
e = envelope[::step]
amplitude = np.abs(np.fft.rfft((e - e.mean()) * scipy.signal.get_window("hann", len(e)))) * 4 / len(e)

rows = np.stack([signal(600, 0)[i::3] for i in range(3)], axis=1)
rows[:, 2] += 0.5 * rows[:, 0]
mean, covariance = rows[:100].mean(axis=0), np.cov(rows[:100].T)
t2 = [float((r - mean) @ np.linalg.inv(covariance) @ (r - mean)) for r in rows[100:110]]

high = low = 0.0
cusum = []
for value in signal(50, 0) + 0.2:
    high, low = max(high + value - 0.1, 0.0), max(low - value - 0.1, 0.0)
    cusum.append([high, low])

OUT.write_text(
    json.dumps(
        {
            "mean": x.mean(),
            "rms": x.std(),
            "peak": np.abs(x - x.mean()).max(),
            "kurtosis": scipy.stats.kurtosis(x, fisher=False),
            "velocity": velocity(x, 10.0, 1000.0),
            "band_rms": band_rms(x, 2000.0, 5000.0),
            "envelope": [float(v) for v in e[1000:1032]],
            "amplitude": [float(v) for v in amplitude[30:62]],
            "t2": t2,
            "cusum": cusum[-1],
        },
        indent=1,
    )
    + "\n"
)
