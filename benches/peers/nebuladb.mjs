// NebulaDB's own sync server, as its users start it: the peer of the hub's event sync in the part `live` of the
// benchmarks. It keeps its events in memory. Environment: NEBULA_SERVER_JS (its server module).
import { createServer } from 'node:http';
import { createRequire } from 'node:module';

const { createSyncServer } = createRequire(import.meta.url)(process.env.NEBULA_SERVER_JS);
const httpServer = createServer();
createSyncServer({ httpServer, logging: { enabled: false, level: 'error' } }).start();
httpServer.listen(0, '127.0.0.1', () => console.log(httpServer.address().port));
