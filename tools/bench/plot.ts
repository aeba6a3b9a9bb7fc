import { parse, View } from 'vega';
import { compile, type TopLevelSpec } from 'vega-lite';

/** Rates or costs with their extremes over the repetitions, a bar for each server or scenario. */
export function bars(title: string, unit: string, values: readonly Bar[]): Promise<string> {
  return svg({
    title,
    width: 560,
    height: { step: 28 },
    data: { values: values.map(value => ({ ...value })) },
    encoding: { y: { field: 'label', type: 'nominal', sort: null, title: null } },
    layer: [
      {
        mark: { type: 'bar', color: '#4c78a8', height: 16 },
        encoding: { x: { field: 'median', type: 'quantitative', title: unit } },
      },
      {
        mark: { type: 'rule', strokeWidth: 2 },
        encoding: { x: { field: 'min', type: 'quantitative' }, x2: { field: 'max' } },
      },
    ],
  });
}

/** A cost against a number that grows by factors. */
export function curve(title: string, x: string, y: string, points: readonly Point[]): Promise<string> {
  return svg({
    title,
    width: 560,
    height: 240,
    data: { values: points.map(point => ({ ...point })) },
    encoding: {
      x: { field: 'x', type: 'quantitative', title: x, scale: { type: 'log' } },
      y: { field: 'median', type: 'quantitative', title: y, scale: { zero: true } },
    },
    layer: [
      { mark: { type: 'line', point: true, color: '#4c78a8' } },
      { mark: { type: 'rule', strokeWidth: 2 }, encoding: { y: { field: 'min' }, y2: { field: 'max' } } },
    ],
  });
}

export interface Bar {
  readonly label: string;
  readonly median: number;
  readonly min: number;
  readonly max: number;
}

export interface Point {
  readonly x: number;
  readonly median: number;
  readonly min: number;
  readonly max: number;
}

function svg(spec: object): Promise<string> {
  const look = { background: 'white', config: { font: 'sans-serif', view: { stroke: null } } };
  return new View(parse(compile({ ...look, ...spec } as TopLevelSpec).spec), { renderer: 'none' }).toSVG();
}
