// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Vm} from "./Vm.sol";

/// @notice What every test contract is: cheat codes, and assertions that say what differs.
abstract contract Test {
    error NotEqual(string what, bytes32 got, bytes32 want);
    error NotTrue(string what);

    struct FuzzSelector {
        address addr;
        bytes4[] selectors;
    }

    Vm internal constant vm = Vm(address(uint160(uint256(keccak256("hevm cheat code")))));

    address[] private _targets;
    FuzzSelector[] private _selectors;

    /// @notice The contracts whose functions an invariant run calls; forge asks for them.
    function targetContracts() external view returns (address[] memory) {
        return _targets;
    }

    /// @notice The functions that it may call there; forge asks for them.
    function targetSelectors() external view returns (FuzzSelector[] memory) {
        return _selectors;
    }

    function _target(address handler, bytes4[] memory selectors) internal {
        _targets.push(handler);
        _selectors.push(FuzzSelector(handler, selectors));
    }

    function _true(bool condition, string memory what) internal pure {
        if (!condition) revert NotTrue(what);
    }

    function _equal(uint256 got, uint256 want, string memory what) internal pure {
        if (got != want) revert NotEqual(what, bytes32(got), bytes32(want));
    }

    function _equal(address got, address want, string memory what) internal pure {
        if (got != want) {
            revert NotEqual(what, bytes32(uint256(uint160(got))), bytes32(uint256(uint160(want))));
        }
    }

    function _equal(bytes32 got, bytes32 want, string memory what) internal pure {
        if (got != want) revert NotEqual(what, got, want);
    }

    /// @dev Folds a fuzzed number into a range; the ends of the range come up often, as bugs do there.
    function _within(uint256 raw, uint256 low, uint256 high) internal pure returns (uint256) {
        if (raw >= low && raw <= high) return raw;
        uint256 size = high - low;
        return size == type(uint256).max ? raw : low + (raw % (size + 1));
    }

    /// @dev Puts a contract of ours on the chain as it is shipped, not as this test would compile it.
    function _deploy(string memory name, bytes memory arguments) internal returns (address) {
        string memory folder = string.concat("../build/contracts/out/", name, ".sol/");
        return vm.deployCode(string.concat(folder, name, ".json"), arguments);
    }

    /// @dev An account with a name in traces, and its key.
    function _account(string memory name) internal returns (address account, uint256 key) {
        key = uint256(keccak256(bytes(name)));
        account = vm.addr(key);
        vm.label(account, name);
    }
}
