#!/usr/bin/env python3
"""Prints examples/spirals.csv: points of three spiral arms in the plane, wound into each other so that no straight
line tells them apart. python3 make_spirals.py > spirals.csv"""
import math
import random


def main(arms="abc", points=100, noise=0.06, seed=1):
    draw = random.Random(seed)
    print("x,y,arm")
    for number, arm in enumerate(arms):
        for i in range(points):
            radius = (i + 1) / points
            angle = 2 * math.pi * number / len(arms) + 4 * radius + draw.gauss(0, noise)
            print(f"{radius * math.cos(angle):.4f},{radius * math.sin(angle):.4f},{arm}")


if __name__ == "__main__":
    main()
