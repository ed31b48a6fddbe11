--TEST--
Codec: graphs of values with clones, casts, references and shared tables come back as from unserialize(serialize()), whatever is the same thing in them
--SKIPIF--
<?php if (!function_exists("larder_probe_encode")) die("skip needs the feature probe"); ?>
--INI--
error_reporting=E_ALL & ~E_DEPRECATED
--FILE--
<?php
require __DIR__ . "/store.inc";
require __DIR__ . "/graphs.inc";
$cache = local_store()->cache('c');
/** What becomes of a value on each way; each is to be what unserialize(serialize()) makes of it. */
function ways(mixed $value, ?Larder\Cache $cache = null): array {
    $payload = larder_probe_encode($value);
    $near = larder_probe_near($payload);
    $ways = ['decoded' => larder_probe_decode($payload), 'near' => larder_probe_near_get($near), 'near again' => larder_probe_near_get($near)];
    larder_probe_near_drop($near);
    if ($cache !== null) {
        $cache->set('k', $value);
        $ways += ['get' => $cache->get('k'), 'getMany' => $cache->getMany(['k'])['k']];
    }
    return $ways;
}
/** Whether all ways lead to the same; prints what does not. */
function check(string $what, mixed $value, ?Larder\Cache $cache = null): bool {
    $before = serialize($value);
    $want = serialize(unserialize($before));
    $fine = true;
    foreach (ways($value, $cache) as $way => $got) {
        $fine = ($text = serialize($got)) === $want && $fine;
        $text === $want || print("$what, $way:\n  $want\n  $text\n");
    }
    if (serialize($value) !== $before) {
        $fine = false;
        echo "$what: changed\n  $before\n  ", serialize($value), "\n";
    }
    return $fine;
}
$named = 0;
foreach (named_graphs() as $name => $graph) {
    // Each alone, within a list that nobody else has, and twice.
    $value = $graph();
    $named += check($name, $value, $cache);
    check("$name, in a list", [1, $graph()], $cache);
    $twice = $graph();
    check("$name, twice", [$twice, $twice], $cache);
}
$seed = (int)(getenv("LARDER_SEED") ?: 20261128);
$count = (int)(getenv("LARDER_GRAPHS") ?: 24000);
gc_disable(); // It would take references from values while they are looked at.
$maker = new GraphMaker($seed);
$end = hrtime(true) + 40_000_000_000;
for ($made = $failed = $joined = $direct = 0; $made < $count && $failed < 3 && ($made < 20000 || hrtime(true) < $end); $made++) {
    $value = $maker->graph();
    try {
        serialize($value);
    } catch (Error) {
        continue; // PHP 8.3 and later find no end in some, and say so.
    }
    $failed += !check("seed $seed, graph $made", $value, $made % 100 === 0 ? $cache : null);
    $joined += preg_match('/[{;][rR]:\d+;/', serialize($value));
    $direct += !in_array(larder_probe_encode($value)[0], ["\xc7", "\xc8", "\xc9"], true);
}
printf("%d named, %s generated, %d failed\n", $named, $made >= 20000 ? 'enough' : $made, $failed);
// Both ways are taken by many.
var_dump($joined > $made / 5, $direct > $made / 5);
?>
--EXPECT--
28 named, enough generated, 0 failed
bool(true)
bool(true)
