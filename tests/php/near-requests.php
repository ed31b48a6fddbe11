<?php
// One request of run-near-requests: adds near values, reads and spoils those of earlier requests, drops some.

require __DIR__ . '/../../php-ext/tests/near.inc';
error_reporting(E_ALL & ~E_WARNING & ~E_DEPRECATED);

class Held {
    public $values;
    public function __destruct() {
        foreach ($this->values as [$value, $want]) {
            if (serialize($value) !== $want) {
                echo "a dropped value changed\n";
            }
        }
    }
}

$request = (int)$_GET['request'];
mt_srand($request);
$makers = array_values(near_values());
$mutations = array_values(mutations());
foreach ($makers as $make) {
    larder_probe_near(larder_probe_encode($make()));
}
$last = ($request + 1) * count($makers) - 1;
$holder = new Held;
for ($number = max(0, $last - 60); $number <= $last; $number++) {
    $want = serialize($makers[$number % count($makers)]());
    try {
        $value = larder_probe_near_get($number);
    } catch (Exception) {
        continue; // Dropped by an earlier request.
    }
    if (serialize($value) !== $want) {
        echo "value $number changed\n";
    }
    try {
        $mutations[mt_rand(0, count($mutations) - 1)]($value);
    } catch (Error) {
        // Not every mutation fits every value.
    }
    $holder->values[] = [larder_probe_near_get($number), $want];
    if (mt_rand(0, 3) === 0 || $number < $last - 50) {
        larder_probe_near_drop($number);
    }
}
// A cycle that only the end of the request breaks.
$holder->cycle = new stdClass;
$holder->cycle->all = $holder;
echo 'ok';
