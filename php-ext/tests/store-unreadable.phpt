--TEST--
A key whose entry cannot be made into a value any more is missing in every respect: what is stored next is a fill, dropped if the key was changed meanwhile
--EXTENSIONS--
pcntl
posix
--SKIPIF--
<?php if (!function_exists('larder_probe_next_request')) die('skip needs the feature probe'); ?>
--FILE--
<?php
require __DIR__ . '/store.inc';
/** A class of which one release can be read by another no more. */
class Release {
    public static bool $gone = false;
    public $text = 'old';
    public function __wakeup() {
        if (self::$gone) {
            // It may use the cache before it gives up.
            global $cache;
            $cache->get('another');
            throw new LogicException('of another release');
        }
    }
}
/** The other web process: evaluates lines. */
function web2(array $options, string $server): Closure {
    [$here, $there] = stream_socket_pair(STREAM_PF_UNIX, STREAM_SOCK_STREAM, 0);
    if (($pid = pcntl_fork()) === 0) {
        fclose($here);
        eval('enum Level: string { case Gone = "gone"; }');
        $cache = Larder\Store::open(['server' => $server, 'lock_lease' => 1])->cache('c', $options);
        while (($line = fgets($there)) !== false) {
            larder_probe_next_request();
            fwrite($there, json_encode(eval("return $line;")) . "\n");
        }
        posix_kill(getmypid(), SIGKILL);
    }
    fclose($there);
    return function (?string $line) use ($here, $pid) {
        if ($line === null) {
            fclose($here);
            return pcntl_waitpid($pid, $status);
        }
        fwrite($here, "$line\n");
        return json_decode(fgets($here));
    };
}
/** The next request of this process. */
function next_request(): void {
    $GLOBALS['cache']->releaseLock('k', 'web1');
    larder_probe_next_request();
}
$reads = [
    'get' => fn($cache) => $cache->get('k'),
    'get with a default' => fn($cache) => $cache->get('k', 'none') === 'none' ? null : 'no default',
    'getMany' => fn($cache) => $cache->getMany(['k', 'x'])['k'] ?? null,
    'has' => fn($cache) => $cache->has('k') ?: null,
    'hasAny' => fn($cache) => $cache->hasAny(['x', 'k']) ?: null,
    'hasAll' => fn($cache) => $cache->hasAll(['k']) ?: null,
    'get twice' => fn($cache) => [$cache->get('k'), $cache->get('k')][1],
    'has, then get' => fn($cache) => [$cache->has('k'), $cache->get('k')][1],
    'get under a lock' => fn($cache) => $cache->acquireLock('k', 'web1', 20) ? $cache->get('k') : 'no lock',
];
foreach (['local:' . fresh_directory() . '/store?size=64M', 'redis+unix://' . redis_server()[0]] as $server) {
    foreach ([[], ['durable' => true], ['near' => false]] as $options) {
        $guarded = $options === [];
        $web2 = web2($options, $server);
        $store = Larder\Store::open(['server' => $server, 'lock_lease' => 1]);
        $cache = $store->cache('c', $options);
        $before = $store->stats();
        foreach (['new Release', '[Level::Gone]'] as $value) {
            foreach ([false, true] as $in_memory) {
                if ($in_memory && $value !== 'new Release') {
                    continue;
                }
                foreach ($reads as $how => $read) {
                    $what = strtok($server, ':') . ' ' . json_encode($options) . ", $value, $how" . ($in_memory ? ', in memory' : '');
                    $begin = function () use ($web2, $cache, $value, $in_memory, $read, $what) {
                        same("$what: stored", true, $web2("\$cache->set('k', $value)"));
                        next_request();
                        if ($in_memory) {
                            Release::$gone = false;
                            same("$what: readable", 'old', $cache->get('k')->text);
                            Release::$gone = true;
                        }
                        same("$what: missing", null, $read($cache));
                    };
                    Release::$gone = true;
                    // Nobody changes it: the new value stands.
                    $begin();
                    same("$what: set", [true, 'new'], [$cache->set('k', 'new'), $cache->get('k')]);
                    same("$what: seen", 'new', $web2('$cache->get("k")'));
                    // The other deletes what this one was told is missing.
                    $begin();
                    same("$what: deleted", true, $web2('$cache->delete("k")'));
                    same("$what: filled", true, $cache->set('k', 'of before'));
                    if ($guarded) {
                        same("$what: web2 reads", null, $web2('$cache->get("k")'));
                        next_request();
                        same("$what: web1 reads", null, $cache->get('k'));
                    }
                    // Who asks again sees what the other stored meanwhile.
                    $begin();
                    same("$what: repaired", true, $web2('$cache->set("k", "repaired")'));
                    same("$what: again", 'repaired', $cache->get('k'));
                    same("$what: replaced", [true, 'replaced'], [$cache->set('k', 'replaced'), $web2('$cache->get("k")')]);
                }
            }
        }
        next_request();
        $stats = array_map(fn($now, $then) => $now - $then, $store->stats(), $before);
        $stats = array_combine(array_keys($before), $stats);
        same('counted', true, $stats['broken'] > 20 && $stats['misses'] >= $stats['broken']);
        same('dropped', $guarded, $stats['dropped_fills'] > 0);
        $web2(null);
    }
}
echo "done\n";
?>
--EXPECT--
done
