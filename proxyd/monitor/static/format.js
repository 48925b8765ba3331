// Numbers as people read them. Rates are per second; sizes in powers of 1000, as network equipment counts.

const WHOLE = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const UNITS = ["", "k", "M", "G", "T", "P"];

export function count(value) {
  return WHOLE.format(value);
}

/** A whole number that takes no more than seven characters: 999,999 or 1.23 M. */
export function short(value) {
  return value < 1e6 ? count(value) : scaled(value);
}

/** Three digits and a unit: 12.3 M. */
export function scaled(value, unit = "") {
  let number = value;
  let step = 0;
  while (number >= 999.5 && step < UNITS.length - 1) {
    number /= 1000;
    step += 1;
  }
  const digits = number >= 99.95 || (step === 0 && Number.isInteger(number)) ? 0 : number >= 9.995 ? 1 : 2;
  const suffix = `${UNITS[step]}${unit}`;
  return suffix ? `${number.toFixed(digits)} ${suffix}` : number.toFixed(digits);
}

export function bytes(value) {
  return scaled(value, "B");
}

export function bits(bytesPerSecond) {
  return scaled(bytesPerSecond * 8, "bit/s");
}

export function rate(value) {
  return `${scaled(value)}/s`;
}

export function duration(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  if (seconds < 120) return `${Math.round(seconds)} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 120) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? `${hours} h ${minutes % 60} min` : `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

export function milliseconds(seconds) {
  return `${(seconds * 1000).toFixed(seconds < 0.01 ? 2 : 1)} ms`;
}
