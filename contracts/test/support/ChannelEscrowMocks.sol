// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IERC1271} from "@openzeppelin/contracts/interfaces/IERC1271.sol";
import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";

import {ChannelEscrow} from "../../src/ChannelEscrow.sol";
import {IChannelEscrow} from "../../src/IChannelEscrow.sol";
import {IDepositCollector} from "../../src/IDepositCollector.sol";
import {MockToken} from "./Tokens.sol";

/// @notice A wallet that accepts what its owner signs, with anything behind it, until it changes its mind.
contract ContractWallet is IERC1271 {
    address private immutable _owner;
    bool public closed;

    constructor(address owner) {
        _owner = owner;
    }

    function isValidSignature(bytes32 digest, bytes calldata signature) external view returns (bytes4) {
        (address signer,,) = ECDSA.tryRecoverCalldata(digest, signature[:65]);
        return !closed && signer == _owner ? IERC1271.isValidSignature.selector : bytes4(0xffffffff);
    }

    function close() external {
        closed = true;
    }

    function execute(address target, bytes calldata data) external {
        (bool done, bytes memory answer) = target.call(data);
        if (!done) {
            assembly ("memory-safe") {
                revert(add(answer, 0x20), mload(answer))
            }
        }
    }
}

/// @notice A token that calls the escrow while it moves, as one with hooks could be made to.
contract HookToken is MockToken {
    address private _target;
    bytes private _call;
    bytes4 public answer;
    uint256 public calls;

    function arm(address target, bytes calldata data) external {
        _target = target;
        _call = data;
    }

    function _update(address from, address to, uint256 value) internal override {
        super._update(from, to, value);
        if (_target == address(0)) return;
        address target = _target;
        _target = address(0);
        calls += 1;
        (bool done, bytes memory data) = target.call(_call);
        answer = done ? bytes4(0) : bytes4(data);
    }
}

/// @notice A collector that brings something else than it was asked for.
contract WrongCollector is IDepositCollector {
    int256 private immutable _error;

    constructor(int256 error_) {
        _error = error_;
    }

    function collect(address, address token, uint256 amount, bytes32, bytes calldata) external {
        MockToken(token).mint(msg.sender, uint256(int256(amount) + _error));
    }
}

/// @notice A collector that pays, and claims in between.
contract ClaimingCollector is IDepositCollector {
    ChannelEscrow private immutable _escrow;

    constructor(ChannelEscrow escrow) {
        _escrow = escrow;
    }

    function collect(address, address token, uint256 amount, bytes32, bytes calldata data) external {
        MockToken(token).mint(msg.sender, amount);
        (IChannelEscrow.VoucherClaim[] memory rows, bytes memory signature) =
            abi.decode(data, (IChannelEscrow.VoucherClaim[], bytes));
        _escrow.claimWithSignature(rows, signature);
    }
}
