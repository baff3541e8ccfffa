#!/usr/bin/env python3
"""What the samplers of LightX2V and rCM compute, written anew from their formulas in float64.

`authors.py > golden.json`; needs nothing but Python. The tests of core/src/sampler compare with it.

- LightX2V: a table of 1000 levels, linspace(1, 0, 1001) without its last, shifted; the steps named 1000, 750,
  500, 250 are its entries 0, 250, 500, 750. A step goes to x0 = x - s*v, then with fresh noise e to
  (1 - s')*x0 + s'*e, or along v to x0 + s'*v.
- rCM, in the coordinates of TrigFlow, in which its paper and its first program are: x = cos(t)*x0 + sin(t)*e.
  A transformer of the flow with the velocity v = e - x0 is asked at x / (cos + sin) and the level
  sin / (cos + sin), and x0 = (x - sin * v) / (cos + sin). States are printed in the coordinates of the flow.

The "network" is a function that anybody can write down; e is noise whose mean is raised already.
"""
import json
import math

SIZE = 6


def numbers(seed):
    """SIZE numbers between -2 and 2: a linear congruential generator of 31 bits."""
    state = seed
    while True:
        row = []
        for _ in range(SIZE):
            state = (1103515245 * state + 12345) % 2**31
            row.append(4 * state / 2**31 - 2)
        yield row


def network(x, time):
    """The velocity at x, where the network is told `time` of 0 to 1000."""
    return [0.5 * xi - 0.3 * math.cos(time / 300 + i) for i, xi in enumerate(x)]


def bfloat16(value):
    """The nearest number of 8 bits, ties to even."""
    mantissa, exponent = math.frexp(value)
    return math.ldexp(round(mantissa * 256) / 256, exponent)


def lightx2v(shift, renoise):
    table = [shift * u / (1 + (shift - 1) * u) for u in (1 - i / 1000 for i in range(1000))]
    levels = [table[1000 - step] for step in (1000, 750, 500, 250)]
    source = numbers(1)
    x = start = next(source)
    noises, states = [], []
    for i, level in enumerate(levels):
        v = network(x, 1000 * level)
        x = [xi - level * vi for xi, vi in zip(x, v)]
        if i + 1 < len(levels):
            after = levels[i + 1]
            if renoise:
                noises.append(next(source))
                x = [(1 - after) * xi + after * e for xi, e in zip(x, noises[-1])]
            else:
                x = [xi + after * vi for xi, vi in zip(x, v)]
        states.append(x)
    return {
        "solver": "lcm" if renoise else "euler", "shift": shift, "levels": levels + [0.0],
        "times": [1000 * level for level in levels], "noise": start, "noises": noises, "states": states,
    }


def rcm(steps):
    times = [math.atan(80), 1.5, 1.4, 1.0][:steps] + [0.0]
    both = [math.cos(t) + math.sin(t) for t in times]
    levels = [math.sin(t) / b for t, b in zip(times, both)]
    told = [bfloat16(1000 * level) for level in levels[:-1]]
    source = numbers(1)
    noise = next(source)
    x = [math.sin(times[0]) * e for e in noise]
    noises, states = [], []
    for i in range(steps):
        v = network([xi / both[i] for xi in x], told[i])
        x = [(xi - math.sin(times[i]) * vi) / both[i] for xi, vi in zip(x, v)]
        if times[i + 1] > 0:
            noises.append(next(source))
            cos, sin = math.cos(times[i + 1]), math.sin(times[i + 1])
            x = [cos * xi + sin * e for xi, e in zip(x, noises[-1])]
        states.append([xi / both[i + 1] for xi in x])
    return {
        "solver": "rcm", "shift": 1.0, "levels": levels, "times": told, "noise": noise, "noises": noises,
        "states": states,
    }


cases = [lightx2v(5.0, True), lightx2v(5.0, False), lightx2v(3.0, True)] + [rcm(n) for n in (1, 2, 3, 4)]
print(json.dumps(cases, indent=1))
