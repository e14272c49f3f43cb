import { fileURLToPath } from 'node:url';
const at = (name) => fileURLToPath(new URL(name, import.meta.url));
export default await Promise.resolve({
  apps: [{ name: 'esm', script: at('./app/worker.mjs'), out_file: 'NULL', error_file: './logs/esm.err.log' }],
});
