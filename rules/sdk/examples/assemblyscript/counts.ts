// As in analyzer.yaml.
export const PARAMS: i32 = 2;
export const INPUTS: i32 = 1;
export const OUTPUTS: i32 = 1;
export const SAMPLES: i32 = 4096;
export const SAMPLE_BYTES: i32 = 4;
