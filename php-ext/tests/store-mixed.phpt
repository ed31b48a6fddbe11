--TEST--
Two builds with other entry versions and other class shapes share a cache: misses and invalidations, never a wrong value
--SKIPIF--
<?php
if (!is_file((string)getenv('LARDER_NEXT_SO'))) die('skip LARDER_NEXT_SO names no build with --features next-entry-version');
if (!is_executable('/usr/bin/redis-server')) die('skip needs redis-server');
?>
--FILE--
<?php
require __DIR__ . '/store.inc';

/** A PHP process that goes on for as long as the test, with a build of its own. */
final class Node {
    private $process;
    private array $pipes = [];

    public function __construct(string $extension, string $class, private array $config) {
        $loop = $class . 'while ($line = fgets(STDIN)) { echo json_encode(eval(json_decode($line))), "\n"; }';
        $command = [PHP_BINARY, '-n', '-d', "extension=$extension", '-d', 'display_errors=stderr', '-r', $loop];
        $this->process = proc_open($command, [['pipe', 'r'], ['pipe', 'w'], STDERR], $this->pipes);
        $this->run('$GLOBALS["store"] = Larder\Store::open(' . var_export($config, true) . ');
            $GLOBALS["cache"] = $store->cache("c"); $GLOBALS["durable"] = $store->cache("d", ["durable" => true]);');
    }

    /** What a line of PHP returns there, in a request of its own. */
    public function run(string $code): mixed {
        fwrite($this->pipes[0], json_encode('global $store, $cache, $durable; isset($store) && $store->sync(); ' . $code) . "\n");
        return json_decode(fgets($this->pipes[1]));
    }

    public function __destruct() {
        fclose($this->pipes[0]);
        proc_close($this->process);
    }
}

[$socket] = redis_server();
foreach (["redis+unix://$socket", 'local:' . fresh_directory() . '/store?size=64M', 'dir:' . fresh_directory() . '/store'] as $server) {
    $kind = strstr($server, ':', true);
    $is = fn(string $what, mixed $want, mixed $got) => same("$kind: $what", $want, $got);
    $old = new Node(getenv('LARDER_SO'), 'class Course { public int $id = 1; }', ['server' => $server, 'code_epoch' => '4.5']);
    $new = new Node(getenv('LARDER_NEXT_SO'), 'class Course { public string $name = "new"; }', ['server' => $server, 'code_epoch' => '5.0']);
    // Entries of durable caches carry no epoch: only their version tells them apart.
    foreach (['$cache' => 'Course', '$durable' => 'stdClass'] as $cache => $class) {
        $is("$cache set by the old one", true, $old->run("return {$cache}->set('k', new $class);"));
        $is("$cache miss in the new one", null, $new->run("return {$cache}->get('k');"));
        $is("$cache has in the new one", false, $new->run("return {$cache}->has('k');"));
        $is("$cache set by the new one", true, $new->run("return {$cache}->set('k', new $class);"));
        $is("$cache miss in the old one", null, $old->run("return {$cache}->get('k');"));
        $is("$cache of one's own", true, $new->run("return {$cache}->get('k') == new $class;"));
        $is("$cache deleted by the old one", true, $old->run("return {$cache}->delete('k');"));
        $is("$cache gone in the new one", null, $new->run("return {$cache}->get('k');"));
        $is("$cache set again", true, $new->run("return {$cache}->set('k', [1]);"));
        $is("$cache from memory", [1], $new->run("return {$cache}->get('k');"));
        $is("$cache purged by the old one", true, $old->run("return {$cache}->purge();"));
        $is("$cache gone with the purge", null, $new->run("return {$cache}->get('k');"));
    }
    // A lock is one for both.
    $is('lock', true, $old->run("return \$cache->acquireLock('k', 'old', 0);"));
    $is('locked', false, $new->run("return \$cache->acquireLock('k', 'new', 0);"));
    $is('given back', true, $old->run("return \$cache->releaseLock('k', 'old');"));
    $is('free', true, $new->run("return \$cache->acquireLock('k', 'new', 0) && \$cache->releaseLock('k', 'new');"));
}
echo "done\n";
?>
--EXPECT--
done
