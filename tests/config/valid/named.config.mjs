export const apps = [{ name: 'named', script: './app/server.js' }];
