/**
 * Owns what a text of the wire contract may be, whoever writes it.
 */
import { z } from 'zod';
import { expecting } from './faults.ts';

/**
 * A text without control characters and halves of surrogate pairs: it can stand in keys, records, headers and logs. The
 * pattern is one that JavaScript, Python and Go read alike.
 *
 * @param min characters, counted as code points
 * @example text(1, 128).safeParse('a\u0000b').success // false
 */
export function text(min: number, max: number): z.ZodString {
  const pattern = new RegExp(`^[^\\x00-\\x1F\\x7F-\\x9F]{${min},${max}}$`, 'u');
  const schema = z
    .string()
    .regex(pattern)
    .refine((value) => value.isWellFormed());
  return expecting(`${min}-${max} characters, no control characters`, schema);
}
