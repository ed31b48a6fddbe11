--TEST--
A lock that is taken after the end of the request, by session handlers and what they leave behind, is given back at once
--EXTENSIONS--
session
--FILE--
<?php
require __DIR__ . '/store.inc';
[$socket] = redis_server();
$servers = ['local:' . fresh_directory() . '/store?size=64M', "redis+unix://$socket"];
$script = fresh_directory() . '/late.php';
file_put_contents($script, <<<'PHP'
    <?php
    class Sessions implements SessionHandlerInterface {
        public function __construct(public Larder\Cache $cache) {
        }
        public function open($path, $name): bool { return true; }
        public function close(): bool { return $this->lock('close'); }
        public function read($id): string { return ''; }
        public function write($id, $data): bool { return $this->lock('write'); }
        public function destroy($id): bool { return true; }
        public function gc($lifetime): int { return 0; }
        private function lock(string $when): bool {
            fwrite(STDOUT, "$when " . json_encode($this->cache->acquireLock($when, 'late', 30)) . "\n");
            $GLOBALS['left'] = new Late($this->cache);
            return true;
        }
    }
    class Late {
        public function __construct(public Larder\Cache $cache) {
        }
        public function __destruct() {
            $this->cache->acquireLock('destructor', 'late', 30);
        }
    }
    ini_set('session.use_cookies', '0');
    ini_set('session.cache_limiter', '');
    $cache = Larder\Store::open(['server' => $argv[1], 'lock_lease' => 5])->cache('c');
    $cache->acquireLock('early', 'early', 30);
    session_set_save_handler(new Sessions($cache), false);
    session_id('one');
    ob_start();
    session_start();
    $_SESSION['x'] = 1;
    PHP);
foreach ($servers as $server) {
    // The grace of a new place would hide what is held.
    $warm = Larder\Store::open(['server' => $server, 'lock_lease' => 5])->cache('c');
    same('warm', true, $warm->acquireLock('warm', 'warm', 30) && $warm->releaseLock('warm', 'warm'));
    $command = [PHP_BINARY, '-d', 'extension=' . getenv('LARDER_SO'), '-d', 'log_errors=1', '-d', 'error_log=', $script, $server];
    $process = proc_open($command, [1 => ['pipe', 'w'], 2 => ['pipe', 'w']], $pipes);
    [$out, $log] = [stream_get_contents($pipes[1]), stream_get_contents($pipes[2])];
    proc_close($process);
    same('out', "write true\nclose true\n", $out);
    foreach (['early', 'write', 'close', 'destructor'] as $key) {
        same("$key was reported", 1, substr_count($log, "lock on key \"$key\""));
        same("$key is free", true, $warm->acquireLock($key, 'next', 0) && $warm->releaseLock($key, 'next'));
    }
}
echo "done\n";
?>
--EXPECT--
done
