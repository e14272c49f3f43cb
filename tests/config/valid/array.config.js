module.exports = [
  { script: './app/server.js', instances: 2 },
  { script: './app/server.js', name: 'single', exec_mode: 'fork', instances: 3 },
];
