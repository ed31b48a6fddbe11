--TEST--
Values and calls after the end began: shutdown functions, destructors, output and session callbacks, statics, streams
--EXTENSIONS--
session
--INI--
session.use_cookies=0
session.cache_limiter=
session.serialize_handler=php
--FILE--
<?php
ob_start(); // The session needs its headers.
require __DIR__ . '/store.inc';
$rows = fn($what) => array_map(fn($i) => ['id' => $i, 'name' => "$what number $i", 'in' => (object)['text' => "text $i"]], range(1, 30));
$directory = sys_get_temp_dir() . '/larder-test-late'; // It has to outlive the request.
exec("rm -rf $directory");
$store = Larder\Store::open(['near_bytes' => 40000, 'server' => "local:$directory"]);
$cache = $store->cache('c');
/** Reads the cache and fills it until nothing of before is left in memory. */
function churn(Larder\Cache $cache): void {
    static $round = 0;
    $round++;
    for ($i = 0; $i < 60; $i++) {
        $cache->set("churn $round $i", array_fill(0, 50, "filling $round $i"));
        $cache->get("churn $round $i");
    }
}
class Reader {
    private $want;
    public $held;
    public function __construct(private Larder\Cache $cache, private string $name, private Closure $make) {
        $cache->set($name, $make($name));
        $this->held = $cache->get($name);
    }
    public function check(string $when): void {
        churn($this->cache);
        same("$when: held", serialize(($this->make)($this->name)), serialize($this->held));
        $now = $this->cache->get($this->name);
        same("$when: read", serialize(($this->make)($this->name)), serialize($now));
        $this->held[0]['in']->text = 'spoilt';
        $this->held[1]['name'] = 'spoilt';
        $this->held = $this->cache->get($this->name);
        echo "$when\n";
    }
    public function __destruct() {
        $this->check("destructor of $this->name");
    }
}
class Sessions implements SessionHandlerInterface {
    public function __construct(private Larder\Cache $cache) {
    }
    public function open($path, $name): bool { return true; }
    public function close(): bool {
        echo "session closed: ", $this->cache->get('session'), "\n";
        return true;
    }
    public function read($id): string { return (string)$this->cache->get('session'); }
    public function write($id, $data): bool { return $this->cache->set('session', $data); }
    public function destroy($id): bool { return true; }
    public function gc($lifetime): int { return 0; }
}
class Stream {
    public static $cache;
    public $context;
    public function stream_open($path, $mode, $options, &$opened) { return true; }
    public function stream_write($data) { return strlen($data); }
    public function stream_flush() { return true; }
    public function stream_close() {
        echo 'stream closed: ', self::$cache->get('session') === null ? 'nothing' : 'read', "\n";
    }
}
// A value outlives its cache, its store and its entry.
(function () use ($rows) {
    $store = local_store();
    $cache = $store->cache('c');
    $cache->set('k', $rows('orphan'));
    $value = $cache->get('k');
    $cache->purge();
    unset($cache, $store);
    gc_collect_cycles();
    same('orphan', serialize($rows('orphan')), serialize($value));
})();
// A cache outlives its store.
$alone = local_store()->cache('c');
same('alone', [true, 1], [$alone->set('k', 1), $alone->get('k')]);
function keep($reader) {
    static $kept;
    $kept = $reader;
}
keep(new Reader($cache, 'static', $rows));
$global = new Reader($cache, 'global', $rows);
$cycle = new Reader($cache, 'cycle', $rows);
$cycle->held['me'] = $cycle;
$cycle->held = [...$cache->get('cycle')];
$other = (object)['reader' => new Reader($cache, 'in a cycle', $rows)];
$other->self = $other;
unset($other);
session_set_save_handler(new Sessions($cache), false);
session_id('one');
session_start();
$_SESSION['value'] = $cache->get('global')[3]['name'];
stream_wrapper_register('larder', 'Stream');
Stream::$cache = $cache;
$open = fopen('larder://x', 'w');
ob_start(function ($text) use ($cache, $rows) {
    churn($cache);
    return $text . 'output callback ' . count($cache->get('global')) . "\n";
});
$reader = new Reader($cache, 'shutdown function', $rows);
register_shutdown_function(function () use ($reader, $cache) {
    $reader->check('shutdown function');
    register_shutdown_function(fn() => $reader->check('shutdown function within'));
});
unset($reader);
echo "end\n";
?>
--CLEAN--
<?php
exec('rm -rf ' . sys_get_temp_dir() . '/larder-test-late');
?>
--EXPECT--
end
shutdown function
shutdown function within
destructor of cycle
destructor of global
destructor of static
destructor of in a cycle
destructor of shutdown function
output callback 30
session closed: value|s:15:"global number 4";
stream closed: read
