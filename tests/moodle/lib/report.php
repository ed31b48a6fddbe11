<?php
// One row of the table for one suite: php report.php SUITE EXIT_CODE SECONDS WORK EXPECTED_DIR [RESULTS_DIR].
//
// Exits with 1 when a test failed that the list of expected failures does not name, when the suite ran no test
// or broke off, or when it made no call of the store.

const ROW = "%-34s %6s %7s %7s %9s %9s %6s  %s\n";
if ($argv[1] === '--head') {
    printf(ROW, 'suite', 'tests', 'skipped', 'failing', 'calls', 'locks', 's', '');
    exit(0);
}
[, $suite, $code, $seconds, $work, $expecteddir] = $argv;
$results = $argv[6] ?? '';

$expected = [];
foreach (["$expecteddir/environment.txt", "$expecteddir/file-store.txt"] as $list) {
    foreach (file($list, FILE_IGNORE_NEW_LINES) as $line) {
        $name = trim(explode('#', $line, 2)[0]);
        if ($name !== '') {
            $expected[$name] = true;
        }
    }
}

$tests = $skipped = 0;
$failing = [];
$xml = is_file("$work/junit.xml") ? @simplexml_load_file("$work/junit.xml") : false;
foreach ($xml ? $xml->xpath('//testcase') : [] as $case) {
    $tests++;
    $skipped += count($case->skipped);
    if (count($case->failure) + count($case->error) + count($case->warning)) {
        $failing[] = $case['class'] . '::' . $case['name'];
    }
}
sort($failing);

$unexpected = array_filter($failing, fn($name) => !isset($expected[$name]));

$calls = $locks = 0;
foreach (is_file("$work/calls") ? file("$work/calls") : [] as $line) {
    $counts = json_decode($line, true);
    $calls += array_sum($counts);
    $locks += $counts['acquire_lock'] ?? 0;
}

$problems = [];
if ($unexpected) {
    $problems[] = count($unexpected) . ' unexpected';
}
if (!$tests || $code > 2 || ($code && !$failing)) {
    $problems[] = "PHPUnit ended with $code";
}
if (!$calls) {
    $problems[] = 'the store was never called';
}
printf(ROW, $suite, $tests, $skipped, count($failing), $calls, $locks, $seconds, $problems ? implode(', ', $problems) : 'ok');
foreach (array_slice($unexpected, 0, 20) as $name) {
    echo "    $name\n";
}
if (count($unexpected) > 20) {
    echo "    ... (RESULTS keeps them all)\n";
}
if ($problems) {
    echo preg_replace('/^/m', '    | ', implode('', array_slice(file("$work/phpunit.log"), -40)));
}

if ($results !== '') {
    $base = $results . '/' . preg_replace('/[^A-Za-z0-9+]+/', '_', $suite);
    @mkdir($results, 0777, true);
    file_put_contents("$base.failing.txt", implode("\n", $failing) . ($failing ? "\n" : ''));
    copy("$work/phpunit.log", "$base.log");
    if ($xml) {
        copy("$work/junit.xml", "$base.junit.xml");
    }
}
exit($problems ? 1 : 0);
