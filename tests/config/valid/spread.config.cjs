const base = {
  cwd: `${__dirname}/app`,
  autorestart: true,
  max_restarts: 10,
  min_uptime: '10s',
  restart_delay: 3000,
  exp_backoff_restart_delay: 100,
  time: true,
  merge_logs: true,
};
const worker = (queue) => ({ ...base, name: `worker-${queue}`, script: 'worker.mjs', args: ['--queue', queue, 3] });
module.exports = { apps: ['mail', 'pdf'].map(worker) };
