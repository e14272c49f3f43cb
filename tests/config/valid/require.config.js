// A comment with a brace { and one more }: neither begins the object.
const path = require('path');
const shared = require('./lib/shared');

module.exports = {
  apps: [
    {
      name: 'web',
      script: path.join(__dirname, 'app', 'server.js'),
      cwd: __dirname,
      instances: 'max',
      exec_mode: 'cluster',
      env: { ...shared, PORT: 3000, DEBUG: false, RATIO: 0.5, FEATURES: { search: true } },
      env_production: { PORT: 80 },
      max_memory_restart: '300M',
      kill_timeout: 5000,
      listen_timeout: 8000,
      wait_ready: true,
    },
  ],
  deploy: { production: { host: ['10.0.0.1'], env: { REGION: 'eu' } } },
};
