/** `npm run openapi`: writes openapi.yaml from the endpoint declarations. */
import { writeFileSync } from 'node:fs';
import { renderOpenapi } from './render-openapi.ts';

writeFileSync(new URL('../openapi.yaml', import.meta.url), await renderOpenapi());
