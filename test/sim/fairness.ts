export function runFairness(_seed: number): void {}
